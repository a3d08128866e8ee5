module Conv.Properties.Program

[<EntryPoint>]
let main _ = 0
