/// The museum: convolutions that were wrong, to hold the laws to what they say they detect. Adding a piece: one value in one list.
module internal Conv.Properties.Museum

let private everything: Piece list =
    WindowPieces.all
    @ ChannelPieces.all
    @ AlgorithmPieces.all
    @ NumberPieces.all
    @ GradientPieces.all
    @ OperatorPieces.all
    @ MemoryPieces.all
    @ ThreadPieces.all
    @ StatePieces.all
    @ SpecialPieces.all
    @ EdgePieces.all
    @ WinogradPieces.all
    @ GemmPieces.all
    @ TiledPieces.all
    @ SimplePieces.all
    @ CornerPieces.all
    @ ShortcutPieces.all
    @ AdjointCornerPieces.all
    @ SpanPieces.all
    @ ResourcePieces.all
    @ ReachPieces.all
    @ ReachReportPieces.all
    @ ReachGradientPieces.all
    @ ReachWeightPieces.all
    @ ReachOperatorPieces.all
    @ PreparedPieces.all

/// Pieces that are newer than docs/museum.md: they join the others when it is made anew.
let private newer =
    [
        "q262-ring-of-eight"
        "q263-table-of-the-first-thread"
        "q264-transposed-saturates"
        "q265-bias-gradient-in-fixed-point"
        "q266-equal-weights-by-running-sums"
    ]

let later, all = everything |> List.partition (fun piece -> List.contains piece.Id newer)

do
    match everything |> List.countBy _.Id |> List.tryFind (fun (_, count) -> count > 1) with
    | Some(id, _) -> invalidOp $"Two pieces are called {id}."
    | None -> ()

let tryFind (id: string) =
    everything
    |> List.tryFind (fun piece -> System.String.Equals(piece.Id, id, System.StringComparison.OrdinalIgnoreCase))
