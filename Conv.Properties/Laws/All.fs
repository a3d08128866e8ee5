/// Every law, in the order of the catalogue. Adding a law: one value in one of the lists below.
module internal Conv.Properties.All

let laws: Law list =
    Specification.laws
    @ Model.laws
    @ Algebra.laws
    @ Geometry.laws
    @ Padding.laws
    @ Adjoint.laws
    @ Resources.laws
    @ Views.laws
    @ State.laws
    @ Edges.laws
    @ LargeIndex.laws
    @ FloatingPoint.laws
    @ Precision.laws
    @ Further.laws
    @ State.further
    @ Resources.further
    @ Adjoint.further

do
    match laws |> List.countBy _.Id |> List.tryFind (fun (_, count) -> count > 1) with
    | Some(id, _) -> invalidOp $"Two laws are called {id}."
    | None -> ()

let tryFind (id: string) =
    laws
    |> List.tryFind (fun law -> System.String.Equals(law.Id, id, System.StringComparison.OrdinalIgnoreCase))
