namespace Conv.Properties

open System
open System.Globalization
open System.Numerics
open System.Runtime.CompilerServices

/// Which tensor of a case.
type internal Role =
    | Input = 0
    | Kernel = 1
    | Bias = 2
    /// A second input: X' of LINEAR-INPUT, what stands outside a receptive field.
    | Input2 = 3
    /// A second kernel: K' of LINEAR-KERNEL, the second factor of COMPOSE and SEPARABLE.
    | Kernel2 = 4
    /// The gradient of an output, dY; the input of a transposed convolution.
    | Gradient = 5

/// How the integers of the exact tier are drawn: x ∈ 2^InputExponent·{−InputMax…InputMax}, k ∈ KernelStep·2^KernelExponent·{−KernelMax…KernelMax},
/// b ∈ 2^(InputExponent+KernelExponent)·{−BiasMax…BiasMax}. Only every LiveEvery-th input channel is not zero.
type internal Lattice =
    {
        InputMax: int
        KernelMax: int
        KernelStep: int
        BiasMax: int
        InputExponent: int
        KernelExponent: int
        LiveEvery: int
    }

    /// Whole numbers up to a size in every tensor.
    static member UpTo most =
        {
            InputMax = most
            KernelMax = most
            KernelStep = 1
            BiasMax = most
            InputExponent = 0
            KernelExponent = 0
            LiveEvery = 1
        }

/// How values are drawn. Only integer operations and + − × ÷ by exact constants, so that a seed means the same numbers on every machine.
type internal FillKind =
    | Lattice of Lattice
    /// Uniform on [−1, 1) in steps of 2⁻²³.
    | Uniform
    /// ±(1 + f)·2^e with f of 23 bits and e uniform from −20 to 19: products of every size.
    | Wide
    /// Uniform on (0, 1), odd multiples of 2⁻²³: sums that only grow.
    | Positive
    /// As Uniform, but for one in 32, which is 2³⁰ times as large: a scale that is taken from the largest loses the others.
    | Spiked
    /// As Uniform; inputs of every second channel are 2⁴⁰ times as large, and meet weights of zero where groups have an even number of channels: what
    /// is added to them and taken off again is lost.
    | Sheltered
    /// Whole numbers from −128 to 127: rounding errors happen only where coefficients are fractions.
    | FewBits
    /// 1 + j·2^(1−bits), every significand of so many bits.
    | Significands of bits: int

/// One element that is not zero.
[<Struct>]
type internal Element = { Role: Role; I0: int; I1: int; I2: int; I3: int; Value: float32 }

/// The values of a case: drawn from a seed by coordinates, so that a smaller shape keeps the values of the corner that it keeps; or listed.
type internal Fill =
    | Drawn of kind: FillKind * seed: uint64
    | Explicit of Element list

module internal Fill =
    /// A bijective mixing of 64 bits (the finaliser of SplitMix64: Steele, Lea & Flood 2014).
    let mix (z: uint64) =
        let z = (z ^^^ (z >>> 30)) * 0xBF58476D1CE4E5B9UL
        let z = (z ^^^ (z >>> 27)) * 0x94D049BB133111EBUL
        z ^^^ (z >>> 31)

    let private powerOfTwo (exponent: int) = Math.ScaleB(1.0, exponent)

    /// A whole number from −most to most, times the unit.
    let private whole (most: int) unit =
        let count = uint64 (2 * most + 1)
        fun (hash: uint64) -> float (int64 (hash % count) - int64 most) * unit

    /// The number that a hash stands for.
    let rec private draw kind (role: Role) : uint64 -> float =
        match kind with
        | Lattice l ->
            match role with
            | Role.Bias -> whole l.BiasMax (powerOfTwo (l.InputExponent + l.KernelExponent))
            | Role.Kernel
            | Role.Kernel2 -> whole l.KernelMax (float l.KernelStep * powerOfTwo l.KernelExponent)
            | Role.Gradient -> whole l.KernelMax (powerOfTwo l.InputExponent)
            | _ -> whole l.InputMax (powerOfTwo l.InputExponent)
        | Uniform -> fun hash -> float (hash >>> 40) / 8388608.0 - 1.0
        | Wide ->
            fun hash ->
                let size = (1.0 + float (hash >>> 41) / 8388608.0) * powerOfTwo (int (hash % 40UL) - 20)
                if hash &&& 0x10000UL = 0UL then size else -size
        | Sheltered -> draw Uniform role
        | Spiked ->
            let usual = draw Uniform role
            fun hash -> usual hash * (if hash &&& 31UL = 0UL then powerOfTwo 30 else 1.0)
        | Positive -> fun hash -> float ((hash >>> 41) ||| 1UL) / 8388608.0
        | FewBits -> fun hash -> float (int64 (hash >>> 56) - 128L)
        | Significands bits ->
            let unit = powerOfTwo (1 - bits)
            fun hash -> 1.0 + float (hash >>> (65 - bits)) * unit

    /// Whether a channel is drawn at all.
    let private isLive kind (role: Role) i1 =
        match kind, role with
        | Lattice l, (Role.Input | Role.Input2) -> i1 % l.LiveEvery = 0
        | Sheltered, (Role.Kernel | Role.Kernel2) -> i1 % 2 = 0
        | _ -> true

    /// By how much the numbers of a channel are larger.
    let private scale kind (role: Role) i1 =
        match kind, role with
        | Sheltered, (Role.Input | Role.Input2) when i1 % 2 = 1 -> powerOfTwo 40
        | _ -> 1.0

    /// The tensor of a role, in the given dimensions. A listed element outside them is dropped.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    let tensor fill (role: Role) (d0, d1, d2, d3) =
        match fill with
        | Drawn(kind, seed) ->
            let start = mix (seed + uint64 role * 0x9E3779B97F4A7C15UL)
            let data = Array.zeroCreate (d0 * d1 * d2 * d3)
            let draw = draw kind role

            for i0 in 0 .. d0 - 1 do
                let h0 = mix (start + uint64 (i0 + 1))

                for i1 in 0 .. d1 - 1 do
                    if isLive kind role i1 then
                        let h1 = mix (h0 + uint64 (i1 + 1))
                        let scale = scale kind role i1

                        for i2 in 0 .. d2 - 1 do
                            let h2 = h1 + uint64 (i2 + 1) * 0x9E3779B97F4A7C15UL
                            let row = ((i0 * d1 + i1) * d2 + i2) * d3

                            for i3 in 0 .. d3 - 1 do
                                data[row + i3] <- scale * draw (mix (h2 + uint64 (i3 + 1) * 0xD1B54A32D192ED03UL))

            Values.ofArray (d0, d1, d2, d3) data
        | Explicit elements ->
            let result = Values.zeros (d0, d1, d2, d3)

            for e in elements do
                if e.Role = role && e.I0 < d0 && e.I1 < d1 && e.I2 < d2 && e.I3 < d3 then
                    result.Data[result.At(e.I0, e.I1, e.I2, e.I3)] <- float e.Value

            result

    let private letters =
        [
            Role.Input, "x"
            Role.Kernel, "k"
            Role.Bias, "b"
            Role.Input2, "x2"
            Role.Kernel2, "k2"
            Role.Gradient, "dy"
        ]

    let private inv = CultureInfo.InvariantCulture

    /// The fill as fields of a case's line.
    let print fill =
        match fill with
        | Explicit elements ->
            let one e =
                let letter = letters |> List.find (fun (role, _) -> role = e.Role) |> snd
                String.Format(inv, "{0}:{1}.{2}.{3}.{4}={5:R}", letter, e.I0, e.I1, e.I2, e.I3, e.Value)

            "fill=explicit values=" + (elements |> List.map one |> String.concat ";")
        | Drawn(kind, seed) ->
            let kind =
                match kind with
                | Lattice l ->
                    $"lattice:{l.InputMax},{l.KernelMax},{l.KernelStep},{l.BiasMax},{l.InputExponent},{l.KernelExponent},{l.LiveEvery}"
                | Uniform -> "uniform"
                | Wide -> "wide"
                | Positive -> "positive"
                | Spiked -> "spiked"
                | Sheltered -> "sheltered"
                | FewBits -> "fewbits"
                | Significands bits -> $"significands:{bits}"

            $"fill={kind} seed=0x{seed:x16}"

    /// Reads back what print writes, given the fields by name. Raises FormatException.
    let parse (field: string -> string option) =
        let need name =
            field name
            |> Option.defaultWith (fun () -> raise (FormatException $"A case needs the field '{name}'."))

        let bad what = raise (FormatException $"'{what}' is not a fill.")

        let seed () =
            let text = need "seed"

            let digits =
                if text.StartsWith("0x", StringComparison.Ordinal) then
                    text.Substring 2
                else
                    text

            let ok, value = UInt64.TryParse(digits, NumberStyles.AllowHexSpecifier, inv)
            if ok then value else bad text

        match need "fill" with
        | "explicit" ->
            [
                for part in (need "values").Split(';', StringSplitOptions.RemoveEmptyEntries) do
                    match part.Split([| ':'; '='; '.' |], 6) with
                    | [| letter; i0; i1; i2; i3; value |] ->
                        let index (text: string) =
                            match Int32.TryParse(text, NumberStyles.None, inv) with
                            | true, i -> i
                            | _ -> bad part

                        let role =
                            match letters |> List.tryFind (fun (_, l) -> l = letter) with
                            | Some(role, _) -> role
                            | None -> bad part

                        match Single.TryParse(value, NumberStyles.Float, inv) with
                        | true, v when Single.IsFinite v ->
                            {
                                Role = role
                                I0 = index i0
                                I1 = index i1
                                I2 = index i2
                                I3 = index i3
                                Value = v
                            }
                        | _ -> bad part
                    | _ -> bad part
            ]
            |> Explicit
        | "uniform" -> Drawn(Uniform, seed ())
        | "wide" -> Drawn(Wide, seed ())
        | "positive" -> Drawn(Positive, seed ())
        | "spiked" -> Drawn(Spiked, seed ())
        | "sheltered" -> Drawn(Sheltered, seed ())
        | "fewbits" -> Drawn(FewBits, seed ())
        | text when text.StartsWith("significands:", StringComparison.Ordinal) ->
            match Int32.TryParse(text.Substring 13, NumberStyles.None, inv) with
            | true, bits when bits >= 2 && bits <= 24 -> Drawn(Significands bits, seed ())
            | _ -> bad text
        | text when text.StartsWith("lattice:", StringComparison.Ordinal) ->
            let numbers =
                text.Substring(8).Split(',')
                |> Array.map (fun t ->
                    match Int32.TryParse(t, NumberStyles.AllowLeadingSign, inv) with
                    | true, i -> i
                    | _ -> bad text)

            match numbers with
            | [| inputMax; kernelMax; step; biasMax; inputExponent; kernelExponent; every |] when
                // More than 24 bits is no float32 integer, and the exponents are those of float32.
                List.forall (fun most -> most >= 0 && most <= (1 <<< 24)) [ inputMax; kernelMax; biasMax ]
                && List.forall (fun exponent -> abs exponent <= 149) [ inputExponent; kernelExponent ]
                && every >= 1
                ->
                Drawn(
                    Lattice
                        {
                            InputMax = inputMax
                            KernelMax = kernelMax
                            KernelStep = step
                            BiasMax = biasMax
                            InputExponent = inputExponent
                            KernelExponent = kernelExponent
                            LiveEvery = every
                        },
                    seed ()
                )
            | _ -> bad text
        | text -> bad text

    /// What shrinking lowers: the number of listed elements, and how far each is from 1 in digits, exponent and sign.
    let weight fill =
        let digits (value: float32) =
            let bits = BitConverter.SingleToUInt32Bits value
            let exponent = (int (bits >>> 23) &&& 0xFF) - 127
            let fraction = bits &&& 0x7FFFFFu
            let length = if fraction = 0u then 0 else 23 - BitOperations.TrailingZeroCount fraction
            1 + length + abs exponent + (if value < 0f then 1 else 0)

        match fill with
        | Drawn _ -> Int32.MaxValue
        | Explicit elements -> elements |> List.sumBy (fun e -> 100 + digits e.Value)
