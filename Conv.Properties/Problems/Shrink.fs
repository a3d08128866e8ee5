/// Towards the case that a person can check by hand: fewer and smaller dimensions, no stride, padding, dilation or groups, then few
/// elements, then ones. Every step lowers `measure`, so shrinking ends.
module internal Conv.Properties.Shrink

open System
open System.Numerics
open Conv

/// What every shrink lowers, in order of importance.
let measure (case: Case) =
    let s = case.Problem
    let plane = s |> Axes.sum (fun a -> a.Size + a.Taps)
    let options = s |> Axes.sum (fun a -> a.Stride + a.Dilation + a.Before + a.After)

    s.Batch + s.InChannels + s.OutChannels + s.Groups + plane + 2 * options, Fill.weight case.Fill, List.sum case.Args

let private smaller least value =
    [ least; value / 2; value - 1 ]
    |> List.distinct
    |> List.filter (fun v -> v >= least && v < value)

let private tryShape make =
    try
        Some(make ())
    with :? System.ArgumentException ->
        None

/// Valid shapes with one thing smaller.
let shapes (s: ConvShape) : ConvShape list =
    /// One number of one axis smaller.
    let along least (number: Axis -> int) (set: Axis -> int -> Axis) =
        [
            for at, axis in Seq.indexed s.Axes do
                for value in smaller least (number axis) -> fun () -> s |> Axes.replace at (set axis value)
        ]

    [
        for n in smaller 1 s.Batch -> fun () -> s.With(batch = n)
        for g in smaller 1 s.Groups do
            if s.Groups % g = 0 then
                yield fun () -> s.With(groups = g, inChannels = g * s.InChannelsPerGroup, outChannels = g * s.OutChannelsPerGroup)
        for c in smaller 1 s.InChannelsPerGroup -> fun () -> s.With(inChannels = c * s.Groups)
        for o in smaller 1 s.OutChannelsPerGroup -> fun () -> s.With(outChannels = o * s.Groups)
        yield! along 1 _.Size (fun a size -> a.With(size = size))
        yield! along 1 _.Taps (fun a taps -> a.With(taps = taps))
        yield! along 1 _.Dilation (fun a dilation -> a.With(dilation = dilation))
        yield! along 1 _.Stride (fun a stride -> a.With(stride = stride))
        yield! along 0 _.Before (fun a before -> a.With(before = before))
        yield! along 0 _.After (fun a after -> a.With(after = after))
    ]
    |> List.choose tryShape

/// A drawn fill may be written out once it has at most this many elements; a gradient too, or it is written out as zeros.
let private listable = 400L

let private list (case: Case) : Case list =
    match case.Fill with
    | Explicit _ -> []
    | Drawn _ when case.Problem.InputLength + case.Problem.KernelLength > listable -> []
    | Drawn _ ->
        let s = case.Problem

        let elements role dims =
            let values = Fill.tensor case.Fill role dims

            [
                for at in 0 .. values.Length - 1 do
                    if values.Data[at] <> 0.0 then
                        let struct (i0, i1, i2, i3) = values.Coordinates at

                        {
                            Role = role
                            I0 = i0
                            I1 = i1
                            I2 = i2
                            I3 = i3
                            Value = float32 values.Data[at]
                        }
            ]

        let input, kernel = Operation.input s, Operation.kernel s

        // A law may draw its second kernel larger than the first (COMPOSE, on at most 5 channels: up to 3×3, from the first one's
        // outputs): what it does not read is dropped again.
        let kernel2 =
            if s.OutChannels <= 5 && s.InChannelsPerGroup <= 5 then
                max 3 s.OutChannels, max s.InChannelsPerGroup s.OutChannels, max 3 s.Rows.Taps, max 3 s.Columns.Taps
            else
                kernel

        [
            { case with
                Fill =
                    Explicit(
                        elements Role.Input input
                        @ elements Role.Kernel kernel
                        @ elements Role.Bias (s.OutChannels, 1, 1, 1)
                        @ elements Role.Input2 input
                        @ elements Role.Kernel2 kernel2
                        @ (if s.OutputLength <= listable then
                               elements Role.Gradient (Operation.output s)
                           else
                               [])
                    )
            }
        ]

/// The number without the lower half of its digits.
let private shorter (value: float32) =
    let bits = BitConverter.SingleToUInt32Bits value
    let fraction = 23 - BitOperations.TrailingZeroCount(bits ||| 0x800000u)
    BitConverter.UInt32BitsToSingle(bits &&& (UInt32.MaxValue <<< (23 - fraction / 2)))

/// One after the other, since each is as long as the whole.
let private values (case: Case) : Case seq =
    match case.Fill with
    | Drawn _ -> Seq.empty
    | Explicit elements ->
        let count = List.length elements
        // All at once first, then whole stretches, then single elements.
        let without =
            seq {
                let mutable length = count

                while length >= 1 do
                    for start in 0..length .. count - 1 do
                        elements
                        |> List.indexed
                        |> List.filter (fun (at, _) -> at < start || at >= start + length)
                        |> List.map snd

                    length <- length / 2
            }

        let simpler =
            seq {
                for at, e in List.indexed elements do
                    for value in [ 1f; 2f; truncate e.Value; shorter e.Value; abs e.Value ] do
                        let changed = elements |> List.updateAt at { e with Value = value }

                        if value <> 0f && Fill.weight (Explicit changed) < Fill.weight case.Fill then
                            changed
            }

        Seq.append without simpler
        |> Seq.map (fun elements -> { case with Fill = Explicit elements })

/// Smaller cases to try, the boldest first. `project` brings a shape back into the law's domain.
let cases (project: ConvShape -> ConvShape voption) (case: Case) : Case seq =
    let before = measure case

    seq {
        for shape in shapes case.Problem do
            match project shape with
            | ValueSome shape -> yield Case.onShape shape case
            | ValueNone -> ()

        for at, raw in List.indexed case.Args do
            // A choice is a remainder, often of a few: halving alone may never meet the one that fails.
            for less in
                [ 0; 1; 2; 3 ] @ smaller 0 raw
                |> List.distinct
                |> List.filter (fun less -> less < raw) do
                yield { case with Args = List.updateAt at less case.Args }

        yield! list case
        yield! values case
    }
    |> Seq.filter (fun candidate -> measure candidate < before)
