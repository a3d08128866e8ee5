/// Group 5, continued: empty and large tensors, and calls that are none.
module internal Conv.Properties.Edges

open System
open Conv

/// The shape with no image, no input channel or no output channel.
let private emptied (s: ConvShape) =
    if s.Batch = 0 || s.InChannels = 0 || s.OutChannels = 0 then
        s
    else
        match (s.Rows.Size + 2 * s.Columns.Size + s.Rows.Taps) % 3 with
        | 0 -> s.With(batch = 0)
        | 1 -> s.With(inChannels = 0)
        | _ -> s.With(outChannels = 0)

let private count value = Approx.exact (Values.ofArray (1, 1, 1, 1) [| value |])

let private empty =
    Law.equations
        5
        Postcondition
        "EMPTY"
        "no image, no input channel and no output channel are valid: the right number of outputs, and b where C = 0"
        { Law.terms "GEO-8" "the definition with an empty range" "divisions by zero, grids of no size, outputs that are not written" with
            Tiers = [ Exact ]
            Relates = false
            Project = emptied >> ValueSome
        }
        (fun trial ->
            let s = trial.Shape
            let b = trial.B
            let y = trial.Conv(s, trial.X, trial.K, b)
            let offers = trial.Profile.Capabilities.Contains

            [
                count (float y.Value.Length) =~= count (float s.OutputLength)
                |> named "elements" "N·O·H_o·W_o"
                y =~= Approx.spreadChannels (Operation.output s) b
                |> named "conv of nothing" "b"
                if offers Transposed then
                    let b = trial.Draw(Role.Bias, (s.InChannels, 1, 1, 1))

                    trial.Transposed(s, trial.Gradient, trial.K, Some b)
                    =~= trial.OracleOf(Operation.Transposed, s, trial.Gradient, trial.K, b)
                    |> named "transposed of nothing" "b"
                if offers Fused then
                    let ones = Approx.init (s.OutChannels, 1, 1, 1) (fun _ _ _ _ -> 1.0)

                    trial.Fused(false, s, trial.X, trial.K, b, -ones, b)
                    =~= trial.OracleOf(Operation.Fused false, s, trial.X, trial.K, Approx.concat 0 [ b; -ones; b ])
                    |> named "fused of nothing" "s·b + t"
            ])

let private emptyBackward =
    Law.equations
        5
        Postcondition
        "EMPTY-BACKWARD"
        "gradients over no images, no output channels or no input channels: empty, or sums of nothing, which are zero"
        { Law.terms "ADJ-5" "the gradient with an empty range" "gradients that are not written, divisions by zero" with
            Needs = [ Forward; Gradients ]
            Tiers = [ Exact ]
            Relates = false
            Project = emptied >> ValueSome
        }
        (fun trial ->
            let s, x, k, dy = trial.Shape, trial.X, trial.K, trial.Gradient

            let dx, dk, db =
                trial.BackwardInput(s, dy, k), trial.BackwardKernel(s, x, dy), trial.BackwardBias(s, dy)

            [
                dx =~= trial.OracleOf(Operation.BackwardInput, s, dy, k)
                |> named "BackwardInput of nothing" "zeros"
                dk =~= trial.OracleOf(Operation.BackwardKernel, s, x, dy)
                |> named "BackwardKernel of nothing" "zeros"
                db =~= trial.OracleOf(Operation.BackwardBias, s, dy, trial.One)
                |> named "BackwardBias of nothing" "sums of nothing"
                count (float (dx.Value.Length + dk.Value.Length + db.Value.Length))
                =~= count (float (s.InputLength + s.KernelLength + int64 s.OutChannels))
                |> named "elements" "N·C·H·W + O·C/G·K_h·K_w + O"
            ])

/// Shapes that no convolution has: what is changed, to what, and the parameters that an error may name.
let private badNumbers (s: ConvShape) : (string * int list * string list) list =
    let numbers = List.ofArray (Parameters.ofShape s)
    let mayBeZero = set [ 0; 1; 4; 9; 10; 11; 12 ]
    // Alone it is a valid size, pads included.
    let huge = 1 <<< 30

    let changed changes =
        numbers
        |> List.mapi (fun at number ->
            changes
            |> List.tryFind (fst >> (=) at)
            |> Option.map snd
            |> Option.defaultValue number)

    [
        for at, name in List.indexed Parameters.names do
            for bad in [ -1; -7; Int32.MinValue ] do
                $"{name} = {bad}", changed [ at, bad ], [ name ]

            if not (mayBeZero.Contains at) then
                $"{name} = 0", changed [ at, 0 ], [ name ]
        "channels that do not divide into groups", changed [ 15, 3; 1, 4; 4, 3 ], [ "inChannels"; "groups" ]
        "output channels that do not divide into groups", changed [ 15, 3; 1, 3; 4, 4 ], [ "outChannels"; "groups" ]
        "a kernel higher than the padded input", changed [ 5, s.Rows.Padded + 1; 13, 1 ], [ "kernelHeight" ]
        "a kernel wider than the padded input", changed [ 6, s.Columns.Padded + 1; 14, 1 ], [ "kernelWidth" ]
        "a dilation beyond the padded input", changed [ 5, 2; 13, s.Rows.Padded ], [ "kernelHeight"; "dilationHeight" ]
        "an extent beyond 32 bits", changed [ 5, 65537; 13, 65537 ], [ "kernelHeight"; "dilationHeight" ]
        "an input of more than 2^63 elements", changed [ 0, huge; 1, huge; 2, huge; 3, huge; 15, 1 ], [ "batch" ]
        "more than 2^63 multiply-adds", changed [ 0, huge; 1, huge; 4, huge; 15, 1 ], [ "batch" ]
        "pads whose sum leaves 32 bits",
        changed [ 9, Int32.MaxValue; 11, Int32.MaxValue ],
        [ "padTop"; "padBottom"; "kernelHeight"; "inHeight" ]
    ]

/// Transposed shapes that are none, near the one whose forward convolution this is: what is changed, to what, and the parameters that an error
/// may name.
let private badTransposed (s: ConvShape) : (string * int list * string list) list =
    let pair names (number: Axis -> int) = Seq.map2 (fun name axis -> name, number axis) names s.Axes

    let fields =
        [
            "batch", s.Batch
            "inChannels", s.OutChannels
            yield! pair [ "inHeight"; "inWidth" ] _.Outputs
            "outChannels", s.InChannels
            yield! pair [ "kernelHeight"; "kernelWidth" ] _.Taps
            yield! pair [ "strideHeight"; "strideWidth" ] _.Stride
            yield! pair [ "padTop"; "padLeft" ] _.Before
            yield! pair [ "padBottom"; "padRight" ] _.After
            yield! pair [ "dilationHeight"; "dilationWidth" ] _.Dilation
            yield! pair [ "outputPaddingHeight"; "outputPaddingWidth" ] _.Unused
            "groups", s.Groups
        ]

    let mayBeZero =
        set
            [
                "batch"
                "inChannels"
                "outChannels"
                "padTop"
                "padLeft"
                "padBottom"
                "padRight"
                "outputPaddingHeight"
                "outputPaddingWidth"
            ]

    let changed (changes: (string * int) list) =
        fields
        |> List.map (fun (name, number) ->
            changes
            |> List.tryFind (fst >> (=) name)
            |> Option.map snd
            |> Option.defaultValue number)

    let huge = 1 <<< 30

    [
        for name, _ in fields do
            for bad in [ -1; -7; Int32.MinValue ] do
                $"a transposed {name} = {bad}", changed [ name, bad ], [ name ]

            if not (mayBeZero.Contains name) then
                $"a transposed {name} = 0", changed [ name, 0 ], [ name ]
        "transposed channels that do not divide into groups",
        changed [ "groups", 3; "inChannels", 4; "outChannels", 3 ],
        [ "inChannels"; "groups" ]
        "transposed output channels that do not divide into groups",
        changed [ "groups", 3; "inChannels", 3; "outChannels", 4 ],
        [ "outChannels"; "groups" ]
        "an output padding of as many rows as the stride", changed [ "outputPaddingHeight", s.Rows.Stride ], [ "outputPaddingHeight" ]
        "an output padding of as many columns as the stride", changed [ "outputPaddingWidth", s.Columns.Stride ], [ "outputPaddingWidth" ]
        "pads that leave no row of a transposed output", changed [ "padTop", s.Rows.Size + s.Rows.Before ], [ "padTop"; "padBottom" ]
        "pads that leave no column of a transposed output",
        changed [ "padRight", s.Columns.Size + s.Columns.After ],
        [ "padLeft"; "padRight" ]
        "a transposed output of more than 32 bits of rows",
        changed [ "inHeight", huge; "strideHeight", s.Rows.Stride + 3 ],
        [ "strideHeight"; "inHeight" ]
        "a transposed output of more than 32 bits of columns",
        changed [ "inWidth", huge; "strideWidth", s.Columns.Stride + 3 ],
        [ "strideWidth"; "inWidth" ]
    ]

/// What SAME padding does not follow from.
let private badSame (s: ConvShape) : (string * int list * string list) list =
    let rows = s.Rows
    let fields = [ "size", rows.Size; "taps", rows.Taps; "stride", rows.Stride; "dilation", rows.Dilation ]

    [
        for at, (name, _) in List.indexed fields do
            for bad in [ 0; -1; Int32.MinValue ] do
                $"SAME padding of {name} = {bad}", fields |> List.mapi (fun i (_, right) -> if i = at then bad else right), [ name ]
        "SAME padding of more than 32 bits", [ rows.Size; 3; 1; Int32.MaxValue ], [ "taps"; "dilation" ]
    ]

/// Calls with a tensor of the wrong length.
let private badLengths (subject: Subject) (s: ConvShape) =
    let lengths =
        [
            "input", s.InputLength
            "kernel", s.KernelLength
            "bias", int64 s.OutChannels
            "output", s.OutputLength
        ]

    [
        for tensor, right in lengths do
            for wrong in [ int right - 1; int right + 1; 0 ] do
                // No bias at all is a valid call.
                if wrong >= 0 && int64 wrong <> right && not (tensor = "bias" && wrong = 0) then
                    $"{wrong} elements of {tensor} for {right}", BadLength(Operation.Forward, s, tensor, wrong), [ tensor ]
    ]
    @ (let needed =
        let struct (_, traces) =
            subject.Place
                Placement.plain
                Operation.Forward
                s
                (Array.zeroCreate (int s.InputLength))
                (Array.zeroCreate (int s.KernelLength))
                [||]

        traces.WorkspaceBytes

       [
           if needed > 0L then
               $"{needed - 1L} bytes of workspace for {needed}",
               BadLength(Operation.Forward, s, "workspace", int needed - 1),
               [ "workspace" ]
       ])

/// The other operations with a tensor of the wrong length, and what its parameter may be called.
let private badOperands (subject: Subject) (s: ConvShape) =
    let elements (d0: int, d1: int, d2: int, d3: int) = int64 d0 * int64 d1 * int64 d2 * int64 d3

    let operations =
        [
            Operation.BackwardInput, [ "first", "outputGradient"; "second", "kernel"; "result", "inputGradient" ]
            Operation.BackwardKernel, [ "first", "input"; "second", "outputGradient"; "result", "kernelGradient" ]
            Operation.BackwardBias, [ "first", "outputGradient"; "result", "biasGradient" ]
            Operation.Transposed, [ "first", "input"; "second", "kernel"; "bias", "bias"; "result", "output" ]
            Operation.Fused true, [ "first", "input"; "second", "kernel"; "result", "output" ]
        ]
        |> List.filter (fun (operation, _) -> subject.Profile.Offers(operation, s))

    [
        for operation, tensors in operations do
            for tensor, parameter in tensors do
                let right =
                    match tensor with
                    | "first" -> elements (Operation.first operation s)
                    | "second" -> elements (Operation.second operation s)
                    | "bias" -> int64 s.InChannels
                    | _ -> Operation.length operation s

                for wrong in [ int right - 1; int right + 1 ] do
                    if wrong > 0 then
                        $"{wrong} elements of {parameter} for {right} in {Operation.title operation}",
                        BadLength(operation, s, tensor, wrong),
                        [ parameter ]
    ]

/// Shapes near this one that the subject says it does not support.
let private unsupported (subject: Subject) (s: ConvShape) =
    [
        s
        |> Axes.replace 0 (s.Rows.With(taps = s.Rows.Taps + 1, size = s.Rows.Size + s.Rows.Dilation))
        s |> Axes.replace 1 (s.Columns.With(stride = s.Columns.Stride + 1))
        s
        |> Axes.replace 0 (s.Rows.With(dilation = s.Rows.Dilation + 1, size = s.Rows.Size + s.Rows.Taps))
    ]
    |> List.filter (subject.Profile.Supports >> not)
    |> List.map (fun shape -> $"the unsupported {shape}", NotSupported shape, [ "shape"; "support" ])

let private rejectsInvalid =
    Law.ofCall
        5
        "REJECTS-INVALID"
        "calls that are no convolution are refused with an ArgumentException that names the parameter, before anything is written"
        Misuse
        (Law.terms
            "GEO-8"
            "the domain of the definition"
            "garbage for a kernel larger than its input, && for || in a check, lengths that are not checked, counts that wrap")
        (fun subject case ->
            let s = case.Problem

            let calls =
                if subject.Profile.Capabilities.Contains Forward then
                    if subject.Profile.Supports s then
                        badLengths subject s @ badOperands subject s @ unsupported subject s
                    else
                        []
                else
                    [
                        for what, numbers, names in badNumbers s -> what, BadShape numbers, names
                        for what, numbers, names in badTransposed s -> what, BadTransposed numbers, names
                        for what, numbers, names in badSame s -> what, BadSame numbers, names
                    ]

            let judge (trial: Trial) =
                ignore<Trial> trial

                let mutable refused = 0

                for what, call, names in calls do
                    let refusal = subject.Refuse call
                    let breach message = raise (SubjectFault(Breach message, Call.none s))

                    match refusal.Thrown with
                    | _ when refusal.Written > 0 -> breach $"Given {what}, it wrote {refusal.Written} elements of the output."
                    | None -> breach $"It takes {what}."
                    | Some(:? ArgumentException as error) ->
                        let parameter = string error.ParamName

                        let named =
                            names
                            |> List.exists (fun name -> error.Message.Contains(name, StringComparison.OrdinalIgnoreCase))

                        if not named then
                            breach $"""Refusing {what} it names "{parameter}": {error.Message.Split('\n')[0]}"""

                        refused <- refused + 1
                    | Some error ->
                        breach $"Given {what} it throws {error.GetType().Name}, no ArgumentException: {error.Message.Split('\n')[0]}"

                [
                    count (float refused) =~= count (float calls.Length)
                    |> named "calls refused" "bad calls"
                ]

            if calls.IsEmpty then
                Unsupported "the shape is not supported"
            else
                Judge.ofCase false judge subject case)

let laws = [ empty; emptyBackward; rejectsInvalid ]
