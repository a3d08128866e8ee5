/// Faults of special values, precision, range and the order of sums.
module internal Conv.Properties.SpecialPieces

open System
open Conv
open Conv.Properties.Textbook


let private specials =
    [
        { honest with
            Accumulate = fun _ _ sum x k -> if Single.IsNaN(x * k) then sum else sum + x * k
        }
        |> Piece.ofOrgans "m144-nan-left-out" "Weights that are NaN gave results that are not."

        { honest with Finish = fun _ _ y -> if y <= Single.MaxValue then y else 0f }
        |> Piece.ofOrgans "m149-nan-cleared" "An input with NaN gave a result without: what compares with nothing was replaced."

        { honest with
            Accumulate = fun _ _ sum x k -> if k = 0f then sum else sum + x * k
        }
        |> Piece.ofOrgans "q21-zero-weights-skipped" "Products with a weight of zero are left out."

        { honest with
            Accumulate = fun _ _ sum x k -> if x = 0f then sum else sum + x * k
        }
        |> Piece.ofOrgans "q22-zero-inputs-skipped" "Products with an input of zero are left out."

        { honest with
            Finish = fun _ _ y -> if Single.IsInfinity y then MathF.CopySign(Single.MaxValue, y) else y
        }
        |> Piece.ofOrgans "q23-infinity-saturates" "Infinities become the largest number."

        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape
                    // Padding is the nearest pixel, masked by a factor of zero.
                    let nearest =
                        p.Input[inputIndex s at.N c (Math.Clamp(h, 0, s.Rows.Size - 1)) (Math.Clamp(w, 0, s.Columns.Size - 1))]

                    if h >= 0 && h < s.Rows.Size && w >= 0 && w < s.Columns.Size then
                        nearest
                    else
                        0f * nearest
        }
        |> Piece.ofOrgans
            "m175-neighbour-masked-by-zero"
            "Padding read what stands beside the image; here it is masked by a product with zero."

        { honest with
            Start = fun p _ -> if p.Kernel.Length = 0 then 0f else 0f * p.Kernel[0]
        }
        |> Piece.ofOrgans "q24-cleared-by-a-product" "Sums start from the first filter's first weight times zero."
    ]

/// Rounds to nearest even, without the given number of low bits.
let private without dropped (x: float32) =
    if not (Single.IsFinite x) then
        x
    else
        let bits = BitConverter.SingleToUInt32Bits x
        let half, odd = (1u <<< dropped - 1) - 1u, (bits >>> dropped) &&& 1u
        BitConverter.UInt32BitsToSingle((bits + half + odd) >>> dropped <<< dropped)

let private f16 (x: float32) = float32 (Half.op_Explicit x: Half)
let private flushed (x: float32) = if Single.IsSubnormal x then 0f else x

let private precision =
    [
        { honest with
            ReadInput = fun p at c h w -> without 13 (honest.ReadInput p at c h w)
        }
        |> Piece.ofOrgans "m190-tf32-changes-an-identity" "An identity kernel changed values by a thousandth: inputs were rounded to TF32."

        { honest with
            ReadInput = fun p at c h w -> without 1 (honest.ReadInput p at c h w)
        }
        |> Piece.ofOrgans "q25-last-bit-of-the-inputs" "Inputs lose their last bit."

        { honest with
            Accumulate =
                fun s _ sum x k ->
                    let sum = sum + x * k
                    if int s.KernelPlane = 1 then f16 sum else sum
        }
        |> Piece.ofOrgans "m129-f16-sums-of-1x1" "The 1×1 kernel accumulated in float16."

        { honest with
            Accumulate =
                fun s t sum x k ->
                    let sum = sum + x * k
                    // A block of channels ends: its sum is stored.
                    if t.U = s.Rows.Taps - 1 && t.V = s.Columns.Taps - 1 then
                        without 16 sum
                    else
                        sum
        }
        |> Piece.ofOrgans "q26-bf16-between-blocks" "Partial sums are stored in bfloat16 between two channels."

        { honest with
            ReadInput = fun p at c h w -> flushed (honest.ReadInput p at c h w)
        }
        |> Piece.ofOrgans "q27-subnormal-inputs-flushed" "Subnormal inputs become zero."

        { honest with Finish = fun _ _ y -> flushed y }
        |> Piece.ofOrgans "q28-subnormal-outputs-flushed" "Subnormal results become zero."

        { honest with
            Accumulate =
                fun _ _ sum x k ->
                    // 20 binary places in 64 bits.
                    float32 (int64 ((sum + x * k) * 1048576f)) / 1048576f
        }
        |> Piece.ofOrgans "q29-fixed-point-sums" "Sums are kept in fixed point, which holds no large ones and no small ones."

        { honest with
            Accumulate = fun _ _ sum x k -> if abs sum > 1e30f then sum else sum + x * k
        }
        |> Piece.ofOrgans "q30-no-sum-beyond-1e30" "What exceeds a sentinel is summed no further."
    ]

/// The channel that stands at a place when those of a filter are sorted by the magnitude of their first weight. They are sorted for every product
/// anew: up to 64 channels, longer filters keep their order.
let private sorted (p: Problem) (at: Place) c =
    let s = p.Shape

    if s.InChannelsPerGroup > 64 then
        c
    else
        [| 0 .. s.InChannelsPerGroup - 1 |]
        |> Array.sortBy (fun c -> abs p.Kernel[kernelIndex s at.O c 0 0])
        |> Array.item c

let private orders =
    [
        { honest with
            ReadInput =
                fun p at channel h w ->
                    let first = honest.InputChannel p.Shape at 0
                    honest.ReadInput p at (first + sorted p at (channel - first)) h w
            ReadKernel = fun p at t -> honest.ReadKernel p at { t with C = sorted p at t.C }
        }
        |> Piece.ofOrgans
            "q31-order-by-the-weights"
            "Channels are summed in the order of their weights: within the bound, but by an order that depends on the data."

        { honest with
            Accumulate = fun _ _ sum x k -> if abs x > abs k then MathF.FusedMultiplyAdd(x, k, sum) else sum + x * k
        }
        |> Piece.ofOrgans "q32-fused-by-the-data" "Products are fused into the sum where the input is larger than the weight."
    ]

/// Filters of equal weights are summed as they run along a row.
let private runningSums name =
    let honest = Textbook.subject name honest

    let run (s: ConvShape) (x: float32[]) (k: float32[]) b =
        let y = honest.Forward s x k b
        let terms = int s.TermsPerOutput

        let isEven o =
            terms > 0
            && s.Columns.Taps >= 3
            && s.Columns.Stride = 1
            && s.Columns.Dilation = 1
            && k.AsSpan(o * terms, terms).IndexOfAnyExcept k[o * terms] < 0

        for n in 0 .. s.Batch - 1 do
            for o in 0 .. s.OutChannels - 1 do
                if isEven o then
                    let first = o / s.OutChannelsPerGroup * s.InChannelsPerGroup

                    for i in 0 .. s.Rows.Outputs - 1 do
                        let mutable taken = 0f

                        for j in 0 .. s.Columns.Outputs - 1 do
                            let w = j - 1 - s.Columns.Before

                            // What the window has left is taken off again: of what is not finite NaN remains.
                            if w >= 0 && w < s.Columns.Size then
                                for c in first .. first + s.InChannelsPerGroup - 1 do
                                    for u in 0 .. s.Rows.Taps - 1 do
                                        let h = i * s.Rows.Stride + u * s.Rows.Dilation - s.Rows.Before

                                        if h >= 0 && h < s.Rows.Size then
                                            let left = x[inputIndex s n c h w]
                                            taken <- taken + (left - left)

                            let at = ((n * s.OutChannels + o) * s.Rows.Outputs + i) * s.Columns.Outputs + j
                            y[at] <- y[at] + taken

        y

    { honest with Forward = run; Prepare = PreparedRuns.ofCalls run }

let private repeats =
    [
        Piece.make
            runningSums
            "q266-equal-weights-by-running-sums"
            "Filters of equal weights are summed as they run along a row, and what leaves the window is taken off again: a NaN stays."
    ]

let all = specials @ precision @ orders @ repeats
