/// What is usual: random data, one call, and a comparison with a reference under a tolerance that somebody liked. The museum is held to it by
/// the same harness, to see what the laws add. No verdict on a subject ever comes from here: these tolerances have no theorem.
module internal Conv.Properties.Baselines

open FsCheck
open FsCheck.FSharp
open MathNet.Numerics.Distributions
open Conv

/// How data are drawn, and how close is close enough.
[<NoEquality; NoComparison>]
type private Habit =
    {
        Name: string
        Title: string
        /// The value for a number that is uniform on (0, 1).
        Value: float -> float
        Absolute: float
        Relative: float
    }

let private normal name title absolute relative =
    {
        Name = name
        Title = title
        Value = fun u -> Normal.InvCDF(0.0, 1.0, u)
        Absolute = absolute
        Relative = relative
    }

let private habits =
    [
        normal "NORMAL-RTOL-1E-3" "random normal data, rtol 1e-3, atol 1e-8" 1e-8 1e-3
        normal "NORMAL-PYTORCH" "random normal data, rtol 1.3e-6, atol 1e-5 (torch.testing)" 1e-5 1.3e-6
        {
            Name = "INTEGERS"
            Title = "integers from -3 to 3, equality"
            Value = fun u -> floor (7.0 * u) - 3.0
            Absolute = 0.0
            Relative = 0.0
        }
    ]

/// The problems of a test that was written by hand: square planes and kernels, the same stride, pad and dilation on both axes.
let private plain: Gen<ConvShape> =
    gen {
        let! batch = Gen.elements [ 1; 2 ]
        let! groups = Gen.elements [ 1; 1; 1; 2; 4 ]
        let! c, o = Gen.two (Gen.choose (1, 8))
        let! size = Gen.choose (5, 16)
        let! taps = Gen.elements [ 1; 3; 5 ]
        let! stride, dilation = Gen.two (Gen.elements [ 1; 1; 2 ])
        let! pad = Gen.choose (0, taps / 2)
        let size = max size ((taps - 1) * dilation + 1)

        return
            ConvShape(batch, groups * c, size, size, groups * o, taps, taps, stride, stride, pad, pad, pad, pad, dilation, dilation, groups)
    }

/// The operations of a subject, each of which is compared.
let private operations (profile: Profile) =
    [
        Forward, [ Operation.Forward ]
        Gradients, [ Operation.BackwardInput; Operation.BackwardKernel; Operation.BackwardBias ]
        Transposed, [ Operation.Transposed ]
        Fused, [ Operation.Fused false; Operation.Fused true ]
    ]
    |> List.collect (fun (capability, operations) -> if profile.Capabilities.Contains capability then operations else [])

let private compare habit operation (subject: Subject) (case: Case) =
    let s = case.Problem

    let tensor role dims =
        (Fill.tensor case.Fill role dims).Data
        |> Array.map (fun u -> float32 (habit.Value u))

    let first = tensor Role.Input (Operation.first operation s)

    let second =
        if operation = Operation.BackwardBias then
            [| 1f |]
        else
            tensor Role.Kernel (Operation.second operation s)

    let bias =
        match operation with
        | Operation.Forward -> tensor Role.Bias (s.OutChannels, 1, 1, 1)
        | Operation.Fused _ -> tensor Role.Bias (3 * s.OutChannels, 1, 1, 1)
        | _ -> [||]

    let wide = Array.map float
    let expected = Oracle.complete operation s (wide first) (wide second) (wide bias)

    let call output =
        {
            Operation = operation
            Shape = s
            Input = first
            Kernel = second
            Bias = bias
            Output = output
            ByOracle = false
        }

    try
        let result =
            if operation = Operation.Forward then
                subject.Forward s first second bias
            else
                subject.Operate operation s first second bias

        if result.Length <> expected.Length then
            Faulted(WrongLength(expected.LongLength, result.LongLength), call [||])
        else
            let close (actual: float32) expected = abs (float actual - expected) <= habit.Absolute + habit.Relative * abs expected

            let wrong =
                [
                    for at in 0 .. result.Length - 1 do
                        if not (close result[at] expected[at]) then
                            at
                ]

            let left, right =
                Approx.exact (Values.ofArray (Operation.result operation s) (wide result)),
                Approx.exact (Values.ofArray (Operation.result operation s) expected)

            if wrong.IsEmpty then
                Holds
                    {
                        Elements = result.LongLength
                        Ratio = 0.0
                        Lean = 0.0
                        AgainstOracle = false
                        Outputs = 0UL
                    }
            else
                Breaks { Equation = left =~= right; Wrong = wrong; Calls = [ call (wide result) ] }
    with error ->
        Faulted(Fault.ofException error, call [||])

let private law habit (suffix, title, geometry: Profile -> Gen<ConvShape>) : Law =
    let id = habit.Name + suffix

    let judge (subject: Subject) (case: Case) =
        let operations = operations subject.Profile

        if subject.Profile.Supports case.Problem then
            compare habit operations[case.Args.Head % operations.Length] subject case
        else
            Unsupported "the problem is not supported"

    { Law.ofCall 0 id $"{habit.Title}; {title}" Forward (Law.terms "" "" "") judge with
        Cases =
            fun profile tier _ ->
                gen {
                    let! shape = geometry profile
                    let! args = Gen.choose (0, 999_999) |> Gen.listOfLength 3
                    let! high, low = Gen.two (Gen.choose (0, System.Int32.MaxValue))

                    return
                        {
                            Law = id
                            Tier = tier
                            Problem = shape
                            Args = args
                            Fill = Drawn(Positive, Fill.mix (uint64 high <<< 31 ||| uint64 low))
                        }
                }
    }

/// Each habit on problems as they are written by hand, and on those that the laws are held on.
let all: Law list =
    [
        for habit in habits do
            law habit ("", "problems as written by hand", (fun _ -> plain))
            law habit ("-GENERATED", "the laws' problems", (fun profile -> Generate.geometry profile.Traits))
    ]
