/// The order in which laws take turns: what is expected to kill a broken convolution soonest comes first, and cheap before dear. It is data:
/// order.tsv, which `museum --order` derives from the kill matrix.
module Conv.Properties.Order

/// The ids of laws in their order.
let ids: string list = Resource.table "Checking.order.tsv" 3 |> List.map Array.head

let private places = ids |> List.indexed |> List.map (fun (at, id) -> id, at) |> dict

/// The laws in their order; those that it does not know come last, as they came.
let arrange (laws: Law list) =
    laws
    |> List.sortBy (fun law ->
        match places.TryGetValue law.Id with
        | true, at -> at
        | _ -> System.Int32.MaxValue)
