/// The turns that laws take on a subject before they go round: what is expected to kill a broken convolution soonest comes first, and cheap
/// before dear. They are data: order.tsv, which `museum --order` derives from the kill matrix.
module internal Conv.Properties.Order

/// Law and tier of each turn.
let turns: struct (string * string) list =
    Resource.table "Checking.order.tsv" 4
    |> List.map (fun row -> struct (row[0], row[1]))

/// The laws in the order of their first turns; those that have none come last, as they came.
let arrangeBy (turns: struct (string * string) list) (laws: Law list) =
    let places =
        turns
        |> List.map (fun struct (id, _) -> id)
        |> List.distinct
        |> List.indexed
        |> List.map (fun (at, id) -> id, at)
        |> dict

    laws
    |> List.sortBy (fun law ->
        match places.TryGetValue law.Id with
        | true, at -> at
        | _ -> System.Int32.MaxValue)

/// The laws in the committed order.
let arrange laws = arrangeBy turns laws
