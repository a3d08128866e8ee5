/// What a foreign subject declares of itself, as text: docs/adopt/README.md, "Profile".
module internal Conv.Properties.Declared

open System
open System.Globalization
open System.Linq
open System.Numerics
open Conv

/// A profile.
[<NoEquality; NoComparison>]
type Declared =
    {
        Profile: Profile
        /// Whether it says of every problem if the subject takes it.
        Claims: bool
        /// Whether its functions may be called by several threads at once.
        AnyCallers: bool
    }

let private bad text = raise (CannotOpen $"its profile has {text}; docs/adopt/README.md lists what may stand there")

/// "name=value" fields that are separated by blanks.
let fields (text: string) =
    [
        for part in text.Split([| ' '; '\n'; '\t' |], StringSplitOptions.RemoveEmptyEntries ||| StringSplitOptions.TrimEntries) do
            match part.IndexOf '=' with
            | -1 -> bad $"'{part}', which is no name=value"
            | at -> part.Substring(0, at), part.Substring(at + 1)
    ]

/// "float16", "e5m2", with ".rz" where it truncates and ".sat" where it saturates.
let private formatOf (text: string) =
    let name, manners =
        match List.ofArray (text.Split '.') with
        | name :: manners -> name, manners
        | [] -> "", []

    let ofBits () =
        match
            name.Split([| 'e'; 'm' |], StringSplitOptions.RemoveEmptyEntries)
            |> Array.map Int32.TryParse
        with
        | [| true, exponent; true, significand |] when
            name = $"e{exponent}m{significand}"
            && exponent >= 2
            && exponent <= 8
            && significand >= 0
            && significand <= 23
            ->
            Some(FloatFormat.OfBits(exponent, significand))
        | _ -> None

    let format =
        [ FloatFormat.Binary32; FloatFormat.TensorFloat32; FloatFormat.BFloat16; FloatFormat.Float16 ]
        |> List.tryFind (fun f -> f.Name = name)
        |> Option.orElseWith ofBits

    match format, List.except [ "rz"; "sat" ] manners with
    | Some format, [] -> format.With(text, List.contains "rz" manners, List.contains "sat" manners)
    | _ ->
        bad
            $"the format '{text}', which is none of float32, tf32, bfloat16, float16 and eXmY (e4m3, e5m2 …), perhaps with .rz (truncates) or .sat (saturates)"

let private rational (text: string) =
    let whole (part: string) =
        match BigInteger.TryParse(part, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture) with
        | true, number -> number
        | _ -> bad $"'{text}', which is no fraction"

    match text.Split '/' with
    | [| number |] -> Rational(whole number, BigInteger.One)
    | [| over; under |] when whole under <> BigInteger.Zero -> Rational(whole over, whole under)
    | _ -> bad $"'{text}', which is no fraction"

/// Rows split by ";", entries by ",".
let private matrix (text: string) =
    let rows = text.Split ';' |> Array.map (fun row -> row.Split ',' |> Array.map rational)

    if rows |> Array.exists (fun row -> row.Length <> rows[0].Length) then
        bad "a matrix whose rows differ in length"

    RationalMatrix(array2D rows)

let private arithmetic (text: string) : Arithmetic =
    match text.Split(':', 2) with
    | [| "any-order" |] -> AnyOrder()
    | [| "any-order"; depth |] ->
        match Int64.TryParse depth with
        | true, depth when depth >= 0L -> AnyOrder(Depth = Nullable depth)
        | _ -> bad $"arithmetic={text}, where a number of additions is due"
    | [| "within"; claim |] ->
        match claim.Split ',' with
        | [| factor |]
        | [| factor; "global" |] as parts ->
            match Double.TryParse(factor, NumberStyles.Float, CultureInfo.InvariantCulture) with
            | true, number when number > 0.0 && Double.IsFinite number -> Within(number, Global = (parts.Length = 2))
            | _ -> bad $"arithmetic={text}, where a positive factor is due"
        | _ -> bad $"arithmetic={text}; within:64 and within:64,global are of that form"
    | [| "opaque" |] -> Opaque()
    | [| "rounded"; formats |] ->
        match formats.Split ',' with
        | [| input; accumulator; output |] -> Rounded(formatOf input, formatOf accumulator, formatOf output)
        | _ -> bad $"arithmetic={text}, which needs three formats"
    | [| "quantized"; "8" |] -> Quantized 8
    // Entries may be fractions, so that the matrices stand between bars.
    | [| "bilinear"; matrices |] ->
        match matrices.Split '|' with
        | [| a; b; g |] -> Bilinear(matrix a, matrix b, matrix g)
        | _ -> bad $"arithmetic={text}, which needs three matrices"
    | _ -> bad $"arithmetic={text}"

let private flag name value =
    match value with
    | "yes" -> true
    | "no" -> false
    | _ -> bad $"{name}={value}, which is neither yes nor no"

/// "3x3,5x5" as pairs.
let private sizes name (value: string) =
    [|
        for part in value.Split ',' do
            match part.Split 'x' |> Array.map Int32.TryParse with
            | [| true, height; true, width |] when height > 0 && width > 0 -> struct (height, width)
            | _ -> bad $"{name}={value}, where sizes like 3x3 are due"
    |]

/// The same problem with other pads, where they fit.
let private padded (pads: Axis -> Axis) (s: ConvShape) =
    try
        Some(s.Along pads)
    with :? ArgumentException ->
        None

/// Reads a profile; fields that `others` names are somebody else's. Raises `CannotOpen` with what is wrong.
let parse (others: string list) (text: string) : Declared =
    let pairs = fields text

    match pairs |> List.countBy fst |> List.tryFind (fun (_, count) -> count > 1) with
    | Some(name, _) -> bad $"'{name}' twice"
    | None -> ()

    let named name = pairs |> List.tryFind (fun (other, _) -> other = name) |> Option.map snd
    let yes name = named name |> Option.map (flag name) |> Option.defaultValue false

    let known =
        [
            "arithmetic"
            "gradients"
            "skips-zeros"
            "deterministic"
            "same-at-any-address"
            "batch-invariant"
            "callers"
            "fma"
            "flushes"
            "kernels"
            "strides"
            "dilations"
            "groups"
            "pads"
            "shapes"
        ]

    match
        pairs
        |> List.tryFind (fun (name, _) -> not (List.contains name (known @ others)))
    with
    | Some(name, value) -> bad $"{name}={value}"
    | None -> ()

    let declared: Arithmetic =
        match named "arithmetic" |> Option.map arithmetic |> Option.defaultValue (AnyOrder()) with
        | :? Bilinear as b -> Bilinear(b.OutputTransform, b.InputTransform, b.KernelTransform, SkipsZeroEntries = yes "skips-zeros")
        | _ when named "skips-zeros" |> Option.isSome -> bad "skips-zeros without bilinear matrices"
        | other -> other

    /// A bilinear algorithm takes kernels of one size, at stride and dilation 1, whether it says so or not.
    let own taps =
        match declared with
        | :? Bilinear as b -> [| struct (taps b, taps b) |]
        | _ -> [||]

    let few name taps = named name |> Option.map (sizes name) |> Option.defaultWith (fun () -> own taps)

    let kernels = few "kernels" _.KernelTransform.Columns
    let strides, dilations = few "strides" (fun _ -> 1), few "dilations" (fun _ -> 1)

    let among (allowed: struct (int * int)[]) (number: Axis -> int) (s: ConvShape) =
        allowed.Length = 0 || allowed.Contains(struct (number s.Rows, number s.Columns))

    let withPads: ConvShape -> ConvShape option =
        match named "pads" with
        | Some "none" -> padded (fun a -> a.With(before = 0, after = 0))
        | Some "symmetric" -> padded (fun a -> a.With(after = a.Before))
        | Some "same-upper" -> padded _.Same(SamePadding.Upper)
        | Some "same-lower" -> padded _.Same(SamePadding.Lower)
        | None
        | Some "any" -> Some
        | Some other -> bad $"pads={other}"

    let limits =
        [
            fun (s: ConvShape) ->
                among kernels _.Taps s
                && among strides _.Stride s
                && among dilations _.Dilation s

            match named "groups" with
            | Some "1" -> fun s -> s.Groups = 1
            | Some "depthwise" -> fun s -> s.Groups = s.InChannels
            | None
            | Some "any" -> ()
            | Some other -> bad $"groups={other}"

            // A kind of pads takes what it makes of a problem.
            fun s -> withPads s = Some s
        ]

    let all =
        match named "shapes" with
        | Some "all" -> true
        | None -> false
        | Some other -> bad $"shapes={other}"

    let traits =
        Traits(
            Deterministic = yes "deterministic",
            SameAtAnyAddress = yes "same-at-any-address",
            BatchInvariant = yes "batch-invariant",
            FusedMultiplyAdd = yes "fma",
            FlushesSubnormals = yes "flushes",
            KernelSizes = kernels,
            Strides = strides,
            Dilations = dilations
        )

    let adjoint =
        match named "gradients" |> Option.map arithmetic with
        | None -> ValueNone
        | Some(:? AnyOrder | :? Within as declared) -> ValueSome declared
        | Some _ -> bad "gradients= that is neither any-order nor within:"

    {
        Profile =
            { Profile.Plain with
                Supports = fun s -> limits |> List.forall (fun holds -> holds s)
                ArithmeticOf = fun _ -> declared
                AdjointArithmeticOf = fun _ -> adjoint
                Traits = traits
                Declines = not all
                Nearest = fun s -> withPads s |> Option.defaultValue s
            }
        Claims = all
        AnyCallers =
            match named "callers" with
            | Some "any" -> true
            | None
            | Some "one" -> false
            | Some other -> bad $"callers={other}, which is neither any nor one"
    }
