/// Every subject that has a name.
module internal Conv.Properties.Registry

open System

/// Names that stand for several subjects, and what they stand for.
let groups =
    [
        "ours", "the catalogue and the kit's formulas", Ours.all
        "variants", "correct convolutions that sum differently, or do not sum at all", Variants.all @ Unusual.all @ UnusualRounding.all
        "museum", "convolutions that are wrong, and that the laws must catch", Museum.all |> List.map _.Subject
        "planted", "convolutions whose faults only `verify --isa` or `--guard-pages` shows", Planted.all
    ]

/// All subjects by name.
let subjects = groups |> List.collect (fun (_, _, members) -> members)

/// A foreign subject whose declared matrices are none of a correlation breaks every law for one reason: it is told at once.
let private refuseWrongMatrices (subject: Subject) =
    match subject.Profile.ArithmeticOf(Conv.ConvShape(1, 1, 3, 3, 1, 3, 3)) with
    | :? Conv.Bilinear as declared ->
        match (BilinearProgram.Of declared).Mistake with
        | Some mistake -> raise (CannotOpen $"the matrices that '{subject.Name}' declares do not compute a correlation: {mistake}")
        | None -> subject
    | _ -> subject

/// The subjects of a name or group, or one sentence that says what to write. Raises `CannotOpen` for a foreign one that cannot be used.
let find limits (name: string) : Result<Subject list, string> =
    let same other = String.Equals(name, other, StringComparison.OrdinalIgnoreCase)

    match groups |> List.tryFind (fun (group, _, _) -> same group) with
    | Some(_, _, members) -> Ok members
    | None ->
        match subjects |> List.tryFind (fun s -> same s.Name) with
        | Some subject -> Ok [ subject ]
        | None when (Open.kindOf name).IsSome -> Ok [ refuseWrongMatrices (Open.subject limits name) ]
        | None ->
            let others = groups |> List.map (fun (group, _, _) -> group) |> String.concat ", "
            let foreign = Open.forms |> List.map fst |> String.concat ", "
            let known = Ours.all |> List.map _.Name |> String.concat ", "

            Error
                $"there is no subject '{name}'; write one of {known}, a group ({others}), or a foreign one ({foreign}); `subjects` lists them all"
