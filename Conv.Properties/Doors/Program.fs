module Conv.Properties.Program

/// The entry point is explicit, and in the last file: module values of a library that is also a program are initialised by it alone.
[<EntryPoint>]
let main arguments = Cli.run arguments
