/// What the command line ends with, and how the codes of several runs make one: the only place that says so.
module internal Conv.Properties.ExitCode

/// Every law that could be exercised holds.
[<Literal>]
let Conforms = 0

/// A MUST is broken.
[<Literal>]
let Violates = 1

/// The arguments say nothing that can be done.
[<Literal>]
let Usage = 2

/// A foreign subject could not be opened.
[<Literal>]
let CannotOpen = 3

/// Nothing is settled.
[<Literal>]
let Undecided = 4

/// Of several runs: one that is broken outweighs one that settles nothing, and where nothing ran, nothing is settled.
let ofAll codes =
    if List.isEmpty codes then Undecided
    elif List.contains Violates codes then Violates
    else List.max codes

/// Whether a process that ended so has judged what it was given.
let hasJudged code = List.contains code [ Conforms; Violates; Undecided ]

/// A child's own code where it says what it came to; anything else is a crash, which settles nothing.
let ofChild code = if code = Usage || hasJudged code then code else Undecided
