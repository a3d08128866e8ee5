module Conv.Properties.Ours

open System.Linq
open Conv

/// The catalogue of Conv.Core, one subject for each implementation.
let implementations = Catalogue.All.Select(Subject.ofConvolution) |> List.ofSeq

/// ConvShape's own formulas.
let convShape =
    Subject.ofFormulas "conv-shape" (fun shape -> struct (int64 shape.OutHeight, int64 shape.OutWidth)) (fun shape -> shape.MultiplyAdds)

/// Everything that `verify` holds to the laws when no subject is named.
let all = implementations @ [ convShape ]
