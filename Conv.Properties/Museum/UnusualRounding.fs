/// Correct convolutions that round as the usual implementations do not, err as much as they claim that they may, or declare nothing. No law may
/// accuse one of them.
module internal Conv.Properties.UnusualRounding

open System
open System.Threading
open Conv

let private ours name = Ours.implementations |> List.find (fun s -> s.Name = name)
let private loop = ours "loop"
let private declaring text = { (Declared.parse [] text).Profile with Capabilities = Set.singleton Forward }
let private forward name text run = Subject.forward name (declaring text) run

// ---- formats

/// To the nearest, away from zero half way between two: what adding half a unit to the bits and cutting them off does.
let private awayFromZero (format: FloatFormat) (v: float32) =
    let near = format.Round v
    let other = 2f * v - near

    if
        near <> v
        && Single.IsFinite other
        && format.Round other = other
        && abs other > abs near
    then
        other
    else
        near

/// Operands of a format that becomes its greatest number where it would be infinite, sums in float32, results of the same format.
let private saturating (format: FloatFormat) (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) =
    let greatest = float32 format.MaxValue
    let held v = Single.Clamp(format.Round v, -greatest, greatest)
    loop.Forward s (Array.map held x) (Array.map held k) b |> Array.map held

/// int8 by the least power of two with max|v| ≤ 127·2^e, away from zero half way between two.
let private wholeScales (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) =
    let quantised (values: float32[]) =
        let most = values |> Array.fold (fun most v -> max most (float (abs v))) 0.0
        let e = if most = 0.0 then 0 else int (ceil (Math.Log2(most / 127.0)))

        values
        |> Array.map (fun v -> float32 (Math.ScaleB(Math.Round(Math.ScaleB(float v, -e), MidpointRounding.AwayFromZero), e)))

    let terms = int s.TermsPerOutput
    let filters = Array.init s.OutChannels (fun o -> quantised (Array.sub k (o * terms) terms))

    // Exact in double: products of seven bits each.
    let y = Oracle.correlate s (quantised x |> Array.map float) (filters |> Array.collect (Array.map float))
    let plane = max 1 (int s.OutputPlane)

    y
    |> Array.mapi (fun at sum -> float32 sum + (if b.Length = 0 then 0f else b[at / plane % s.OutChannels]))

let private narrow name input accumulator output = Narrow(name, Rounded(input, accumulator, output)) |> Contract.ofConvolution

// ---- claimed bounds

/// The definition's numbers, moved by all that the claim allows: up or down by a fixed pattern.
let private atTheBound (factor: float) everywhere (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) =
    let wide = Array.map float
    let magnitudes = Array.map (float >> abs)
    let exact = Oracle.correlate s (wide x) (wide k)
    let sums = Oracle.correlate s (magnitudes x) (magnitudes k)
    let most values = Array.fold max 0.0 (magnitudes values)
    let n = float s.TermsPerOutput
    let greatest = n * most x * most k + most b
    let plane = max 1 (int s.OutputPlane)
    let u = Math.ScaleB(1.0, -24)
    let gamma = (n + 1.0) * u / (1.0 - (n + 1.0) * u)

    exact
    |> Array.mapi (fun at sum ->
        let bias = if b.Length = 0 then 0.0 else float b[at / plane % s.OutChannels]

        let size = if everywhere then greatest else sums[at] + abs bias

        let allowed = 0.9999 * factor * (gamma * size + (n + 1.0) * Math.ScaleB(1.0, -149))
        let y = sum + bias
        let up = (at * 7 + s.InChannels) % 3 > 0
        let moved = float32 (if up then y + allowed else y - allowed)

        // The rounding to float may have gone beyond it.
        if abs (float moved - y) <= allowed then moved
        elif up then Single.BitDecrement moved
        else Single.BitIncrement moved)

// ---- nothing declared

let private f2x3 = ours "winograd-f2x3"
let private f4x3 = ours "winograd-f4x3"

/// Another one each time.
let private inTurns =
    let mutable calls = 0

    fun (s: ConvShape) x k b ->
        let call = Interlocked.Increment &calls
        let algorithms = [ loop; f2x3; f4x3 ] |> List.filter (fun a -> a.Profile.Supports s)
        algorithms[call % algorithms.Length].Forward s x k b

let private undeclared (subject: Subject) name =
    { subject with
        Name = name
        Profile =
            { subject.Profile with
                ArithmeticOf = (fun _ -> Opaque())
                Traits = Traits.Default
            }
    }

let all: Subject list =
    [
        forward "variant:tf32-ties-away" "arithmetic=rounded:tf32,float32,float32 deterministic=yes" (fun s x k b ->
            let held = Array.map (awayFromZero FloatFormat.TensorFloat32)
            loop.Forward s (held x) (held k) b)
        forward "variant:bfloat16-ties-away" "arithmetic=rounded:bfloat16,float32,bfloat16 deterministic=yes" (fun s x k b ->
            let held = Array.map (awayFromZero FloatFormat.BFloat16)
            loop.Forward s (held x) (held k) b |> held)
        forward "variant:int8-ties-away" "arithmetic=quantized:8 deterministic=yes" wholeScales
        forward
            "variant:float16-without-infinities"
            "arithmetic=rounded:float16.sat,float32,float16.sat deterministic=yes"
            (saturating FloatFormat.Float16)
        narrow "variant:e5m2" (FloatFormat.OfBits(5, 2)) FloatFormat.Float16 FloatFormat.Float16
        narrow "variant:e4m3" (FloatFormat.OfBits(4, 3)) FloatFormat.Binary32 FloatFormat.Binary32
        narrow "variant:e2m1" (FloatFormat.OfBits(2, 1)) FloatFormat.Binary32 FloatFormat.Binary32
        narrow "variant:bfloat16-accumulator" FloatFormat.Float16 FloatFormat.BFloat16 FloatFormat.Binary32
        forward "variant:at-a-claimed-bound" "arithmetic=within:1 deterministic=yes" (atTheBound 1.0 false)
        forward "variant:at-half-a-sum's-bound" "arithmetic=within:0.5 deterministic=yes" (fun s x k b ->
            Oracle.complete Operation.Forward s (Array.map float x) (Array.map float k) (Array.map float b)
            |> Array.map float32)
        forward "variant:at-a-global-bound" "arithmetic=within:64,global deterministic=yes" (atTheBound 64.0 true)
        Subject.forward "variant:algorithms-in-turns-undeclared" (declaring "arithmetic=opaque") inTurns
        undeclared (ours "bfloat16") "variant:bfloat16-undeclared"
        undeclared (ours "int8") "variant:int8-undeclared"
        undeclared (narrow "e5m2" (FloatFormat.OfBits(5, 2)) FloatFormat.Float16 FloatFormat.Float16) "variant:e5m2-undeclared"
    ]
