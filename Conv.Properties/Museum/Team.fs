/// Threads that work on one call together.
module internal Conv.Properties.Team

open System.Threading

/// One thread of a team: its number, of how many, and where they meet.
[<NoEquality; NoComparison>]
type Member = { Number: int; Count: int; Meeting: Barrier }

/// Runs the work of every member, each on a thread of its own where there are several, and raises what the first that failed threw.
let run count (work: Member -> unit) =
    use meeting = new Barrier(count)
    let each number = work { Number = number; Count = count; Meeting = meeting }

    if count = 1 then
        each 0
    else
        let failures = Array.create<exn option> count None

        let threads =
            Array.init count (fun number ->
                Thread(fun () ->
                    try
                        each number
                    with error ->
                        failures[number] <- Some error
                        // The others need not wait for it.
                        meeting.RemoveParticipant()))

        for thread in threads do
            thread.Start()

        for thread in threads do
            thread.Join()

        failures |> Array.tryPick id |> Option.iter raise

/// A member's part of what is shared out evenly: from, and up to.
let share all (one: Member) = struct (all * one.Number / one.Count, all * (one.Number + 1) / one.Count)

/// One member after the other: a schedule that a race may take, and that is the same each time. Nobody goes on before all are done.
let inTurn (one: Member) (work: unit -> unit) =
    for turn in 0 .. one.Count - 1 do
        if turn = one.Number then
            work ()

        one.Meeting.SignalAndWait()
