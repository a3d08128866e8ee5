namespace Conv.Properties

open System
open Conv

/// What a subject can be asked to do.
type Capability =
    /// Y = conv(X, K) + b.
    | Forward
    /// The output size of a shape.
    | OutputSize
    /// The multiply-adds of a shape.
    | CostFormula

/// What a subject declares. Bounds, cases and the laws that apply follow from it.
type Profile =
    {
        Supports: ConvShape -> bool
        ArithmeticOf: ConvShape -> Arithmetic
        Traits: Traits
        Capabilities: Set<Capability>
    }

/// Any convolution under test. What it cannot do is not asked of it.
[<NoEquality; NoComparison>]
type Subject =
    {
        Name: string
        Profile: Profile
        /// shape, input, kernel, bias (empty for none) → the output as the subject left it; elements that it never wrote are NaN.
        Forward: ConvShape -> float32[] -> float32[] -> float32[] -> float32[]
        OutputSize: ConvShape -> struct (int64 * int64)
        MultiplyAdds: ConvShape -> int64
    }

module Subject =
    let private lacks what _ = raise (NotSupportedException $"The subject has no {what}.")

    /// A subject from its forward pass alone.
    let forward name (profile: Profile) run =
        {
            Name = name
            Profile = { profile with Capabilities = Set.singleton Forward }
            Forward = run
            OutputSize = lacks "output size"
            MultiplyAdds = lacks "cost formula"
        }

    /// Holds an implementation of the contract. The output is filled with NaN and the workspace with bytes 0xFF (NaN) before each
    /// call, so that what is not written, or read before it is written, shows.
    let ofConvolution (convolution: IConvolution) =
        let profile =
            {
                Supports = convolution.Supports
                ArithmeticOf = convolution.ArithmeticOf
                Traits = convolution.Traits
                Capabilities = Set.empty
            }

        forward convolution.Name profile (fun shape x k b ->
            let prepared = convolution.Prepare(shape, ReadOnlySpan k, ReadOnlySpan b)
            let output = Array.create (int shape.OutputLength) Single.NaN
            let workspace = Array.create (int prepared.WorkspaceBytes) 0xFFuy
            prepared.Run(ReadOnlySpan x, Span output, Span workspace)
            output)

    /// The kit's own geometry: what ConvShape says of sizes and costs, held to the laws like any other claim.
    let ofFormulas name outputSize multiplyAdds =
        {
            Name = name
            Profile =
                {
                    Supports = fun _ -> true
                    ArithmeticOf = fun _ -> AnyOrder()
                    Traits = Traits.Default
                    Capabilities = set [ OutputSize; CostFormula ]
                }
            Forward = fun _ _ _ -> lacks "forward pass"
            OutputSize = outputSize
            MultiplyAdds = multiplyAdds
        }

    /// Whether any of a thousand generated problems, simplified if need be, is supported.
    let supportsSomething (subject: Subject) =
        FsCheck.FSharp.Gen.sampleWithSeed (FsCheck.Rnd(1UL, 1UL)) 50 1000 (Generate.geometry subject.Profile.Traits)
        |> Seq.indexed
        |> Seq.exists (fun (at, shape) -> (Generate.towards subject.Profile.Supports at shape).IsSome)
