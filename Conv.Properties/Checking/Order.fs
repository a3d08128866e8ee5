/// The turns that laws take on a subject before they are asked all together: what is expected to kill a broken convolution soonest comes first, and cheap
/// before dear. They are data: order.tsv, which `museum --order` derives from the kill matrix.
module internal Conv.Properties.Order

open System
open System.Collections.Generic

/// One case of a law in a tier, of a size.
[<Struct>]
type Turn = { Law: string; Tier: string; Size: Reach.Size }

/// Turns in their order.
[<Sealed>]
type Turns(all: Turn list) =
    let sizes = Dictionary<struct (string * string), List<Reach.Size>>()

    do
        for turn in all do
            match sizes.TryGetValue(struct (turn.Law, turn.Tier)) with
            | true, own -> own.Add turn.Size
            | _ -> sizes[struct (turn.Law, turn.Tier)] <- List [ turn.Size ]

    member _.All = all

    /// The sizes of a law's cases in a tier, in their order.
    member _.Of(law: string, tier: string) : Reach.Size seq =
        match sizes.TryGetValue(struct (law, tier)) with
        | true, own -> own
        | _ -> Seq.empty

/// None: the laws are asked all together from the beginning.
let noTurns = Turns []

/// As committed.
let turns =
    Resource.table "Checking.order.tsv" 5
    |> List.map (fun row ->
        {
            Law = row[0]
            Tier = row[1]
            Size = Reach.sizes |> List.find (fun size -> size.Name = row[2])
        })
    |> Turns

/// The cases of a law by size and number, in their order: the turns first, then all sizes together, each spread over what is left, so that what
/// only larger problems show does not wait for all small ones. Where a law asks so many cases in a row from a fresh process on, the first
/// small and the first middle ones are one turn.
let cases (turns: Reach.Size seq) (plan: (Reach.Size * int) list) inARow : struct (Reach.Size * int)[] =
    let count = dict plan
    let next = Dictionary [ for size, _ in plan -> KeyValuePair(size, 0) ]

    let take several size =
        [|
            for _ in 1..several do
                if next[size] < count[size] then
                    struct (size, next[size])
                    next[size] <- next[size] + 1
        |]

    let begins size = inARow > 0 && size <> Reach.Large && next[size] = 0

    let opening =
        [|
            for size in turns do
                if count.ContainsKey size then
                    yield! take (if begins size then inARow else 1) size

            for size, _ in plan do
                if begins size then
                    yield! take inARow size
        |]

    let others =
        [|
            for size, cases in plan do
                let first = next[size]

                for at in first .. cases - 1 do
                    float (at - first + 1) / float (cases - first), size, at
        |]

    others
    |> Array.sort
    |> Array.map (fun (_, size, at) -> struct (size, at))
    |> Array.append opening

/// The laws in the order of their first turns; those that have none come last, as they came.
let arrangeBy (turns: Turns) (laws: Law list) =
    let places =
        turns.All
        |> List.map _.Law
        |> List.distinct
        |> List.indexed
        |> List.map (fun (at, id) -> id, at)
        |> dict

    laws
    |> List.sortBy (fun law ->
        match places.TryGetValue law.Id with
        | true, at -> at
        | _ -> Int32.MaxValue)

/// The laws in the committed order.
let arrange laws = arrangeBy turns laws
