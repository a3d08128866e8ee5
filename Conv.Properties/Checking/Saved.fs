/// What of a run is written down. Public, since the serializer finds the constructors of public types alone, and therefore in a namespace of its own.
namespace Conv.Properties.Checking

/// A counterexample as lines that replay it.
type Found =
    {
        Drawn: string
        Shrunk: string
        Shrinks: int
        Earlier: string list
        Eluded: int
    }

/// How far a session has come, as it can be written down: with the same options, law and subject it goes on from there.
type State =
    {
        Law: string
        Subject: string
        Tier: string
        Index: int
        /// For each case up to there whether it decided for the law: "1" or "0".
        Held: string
        Elements: int64
        Ratio: float
        Leans: float list
        AgainstOracle: int
        LeftGrid: int
        Undecided: int
        Unsupported: int
        Discards: Map<string, int>
        Digest: uint64
        Outputs: uint64
        Milliseconds: float
        Found: Found option
        Fault: string option
        Abandoned: string option
    }

/// What must be the same for a run to go on.
type Heading =
    {
        CaseFormat: int
        /// What the cases of a seed are, and in which order they come, is a matter of the build.
        Build: string
        Seed: uint64
        Cases: int
        Reach: string
        Tiers: string list
        Laws: string list
        Subjects: string list
    }

/// A cell of the kill matrix; a kill of 0 where every case held.
type Cell =
    {
        Law: string
        Tier: string
        Size: string
        Kill: int
        Cases: int
        Milliseconds: float
    }

/// The first failure of a subject; no law where every case held.
type First = { Law: string; Cases: int; Milliseconds: float }

/// What the file holds.
type Unfinished = { Heading: Heading; Sessions: State list }
