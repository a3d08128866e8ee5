/// Faults of Winograd's algorithm: which shapes it takes, its tiles, its matrices, and its sums in the transform domain.
module internal Conv.Properties.WinogradPieces

open System
open Conv
open Conv.Properties.Textbook
open Conv.Properties.TextbookWinograd

let private f2, f4 = TextbookWinograd.honest f2x3, TextbookWinograd.honest f4x3

let private dispatch =
    [
        { f4 with
            TakesTiles =
                fun s ->
                    s.Rows.Taps = 3
                    && s.Columns.Taps = 3
                    && s.Rows.Stride = 1
                    && s.Columns.Stride = 1
        }
        |> Piece.ofDispatch
            "m127-winograd-with-dilation"
            "Winograd was held to be applicable where it is not; here the test does not look at the dilation."

        { f2 with
            TakesTiles =
                fun s ->
                    s.Rows.Taps = 3
                    && s.Columns.Taps = 3
                    && s.Rows.Stride = 1
                    && s.Rows.Dilation = 1
                    && s.Columns.Dilation = 1
        }
        |> Piece.ofDispatch
            "q50-winograd-with-a-stride-across"
            "The test of whether Winograd applies looks at the stride of the rows alone."

        { f2 with
            TakesTiles =
                fun s ->
                    s.Rows.Taps = 3
                    && s.Columns.Taps >= 3
                    && s.Rows.Stride = 1
                    && s.Columns.Stride = 1
                    && s.Rows.Dilation = 1
                    && s.Columns.Dilation = 1
        }
        |> Piece.ofDispatch "q51-winograd-for-wider-kernels" "Kernels of three rows and more than three columns go to F(2,3) too."

        { f4 with Direct = { Textbook.honest with ReadBias = fun _ _ -> 0f } }
        |> Piece.ofDispatch
            "q52-bias-in-the-fast-path-alone"
            "The bias moved into the transform of the outputs, and the path of the other shapes was forgotten."
    ]

/// What is missing of whole tiles in one dimension.
let private surplus (f: Scheme) outputs = (f.Outputs - outputs % f.Outputs) % f.Outputs

let private grid =
    [
        { f4 with Grid = fun f s -> let g = f4.Grid f s in { g with Down = g.Across } }
        |> Piece.ofWinograd "m007-tiles-of-a-square" "The tiles were counted in one dimension, and the count was squared."

        { f4 with
            Grid =
                fun f s ->
                    { f4.Grid f s with
                        Down = max 1 ((s.Rows.Outputs + surplus f s.Columns.Outputs) / f.Outputs)
                        Across = max 1 ((s.Columns.Outputs + surplus f s.Rows.Outputs) / f.Outputs)
                    }
        }
        |> Piece.ofWinograd
            "m074-surplus-of-the-other-axis"
            "The padding that completes the last tile was computed for the axes in the wrong order."

        { f2 with
            Grid =
                fun f s ->
                    { f2.Grid f s with
                        Down = max 1 (s.Rows.Outputs / f.Outputs)
                        Across = max 1 (s.Columns.Outputs / f.Outputs)
                    }
        }
        |> Piece.ofWinograd "q207-odd-edge-lost" "With an odd size the last row and column of F(2,3) are in no tile."

        { f4 with Corner = fun s g row column -> f4.Corner s g column row }
        |> Piece.ofWinograd
            "q53-rows-and-columns-of-tiles"
            "The row of a tile in the grid is taken for its column where its window is read."

        { f4 with
            Corner = fun s _ row column -> struct (row * 2 - s.Rows.Before, column * 2 - s.Columns.Before)
        }
        |> Piece.ofWinograd "m173-tile-step-of-two" "The tiles of F(4,3) advanced by two, which is right for F(2,3)."

        { f2 with Tiles = fun g -> if g.Tiles > 4 then g.Tiles / 4 * 4 else g.Tiles }
        |> Piece.ofWinograd "q54-tiles-in-fours" "Tiles are computed four at a time, and the rest of them is forgotten."

        { f4 with
            Corner = fun s g row column -> struct (row * g.Tile - s.Rows.Before, column * g.Tile - s.Rows.Before)
        }
        |> Piece.ofWinograd "q55-top-pad-for-the-columns" "The first column of a window is found with the top pad."
    ]

let private windows =
    [
        { f4 with
            Gather =
                fun p window to' ->
                    for at in 0 .. to'.Length - 1 do
                        let h, w = window.Top + at / window.Size, window.Left + at % window.Size

                        if isInside p.Shape h w then
                            to'[at] <- p.Input[inputIndex p.Shape window.Image window.Channel h w]
        }
        |> Piece.ofWinograd "q56-window-not-cleared" "Where a window lies outside of the image, it keeps what the window before had there."

        { f2 with
            Gather =
                gather (fun p window h w ->
                    let s = p.Shape
                    // Rows are tested; a row is copied whole, from where it begins.
                    let at = inputIndex s window.Image window.Channel h (max 0 w)

                    if h >= 0 && h < s.Rows.Size && w >= 0 && at < p.Input.Length then
                        p.Input[at]
                    else
                        0f)
        }
        |> Piece.ofWinograd "q57-row-of-a-window-copied-whole" "The rows of a window are copied whole, beyond the right edge of the image."

        { f4 with
            Gather =
                gather (fun p window h w ->
                    let s = p.Shape

                    if isInside s h w && h < window.Top + window.Size - 1 then
                        p.Input[inputIndex s window.Image window.Channel h w]
                    else
                        0f)
        }
        |> Piece.ofWinograd "q58-last-row-of-the-window" "The window of F(4,3) is read as if it had five rows."
    ]

/// The borders that are cut, or not.
let private borders =
    [
        { f2 with
            Cut =
                fun s g n group tiles output ->
                    let exact = s.Rows.Outputs = g.Down * g.Tile && s.Columns.Outputs = g.Across * g.Tile

                    // The reference to the output came to refer to the tiles, and the group's part of the output stayed as it was.
                    if not (exact && s.Groups > 1) then
                        f2.Cut s g n group tiles output
        }
        |> Piece.ofWinograd
            "m082-exact-tiles-of-a-group"
            "Where a group had no border to cut off, its result replaced a reference to the output, not what the output held."

        { f4 with
            Cut = cut (fun s g o i j -> (o * g.Down * g.Tile + i) * s.Columns.Outputs + j)
        }
        |> Piece.ofWinograd "q59-pitch-of-the-cut-image" "The border is cut off with the row pitch of what remains."

        { f4 with
            Cut =
                cut (fun s g o i j ->
                    // The border is taken to be shared by both sides, as a pad is.
                    inTiles g o (i + (g.Down * g.Tile - s.Rows.Outputs) / 2) (j + (g.Across * g.Tile - s.Columns.Outputs) / 2))
        }
        |> Piece.ofWinograd
            "q60-border-cut-on-both-sides"
            "The border of whole tiles is cut off half at the beginning, as if it were padding."
    ]

let private four (x: float32) = MathF.Round(x * 10000f) / 10000f

let private transforms =
    [
        { f4 with TransformKernel = fun f g -> sandwich (Array2D.map four f.Kernel) g }
        |> Piece.ofWinograd
            "m030-coefficients-of-four-decimals"
            "The coefficients of F(4,3) cost too much accuracy; here 1/6, 1/12 and 1/24 have four decimals."

        { f4 with
            TransformKernel =
                fun f g ->
                    // Two factors of the middle rows that were meant to be multiplied by 1/24 = 0.041666…
                    sandwich (f.Kernel |> Array2D.map (fun x -> if x = 1f / 24f then 0.04166f else x)) g
        }
        |> Piece.ofWinograd
            "m134-a-twenty-fourth-cut-off"
            "The coefficients of a transform were replaced for the sake of accuracy; here 1/24 was cut off behind its fourth digit."

        { f4 with
            TransformOutput =
                fun p f o sums ->
                    let last = f.Outputs - 1

                    let wrong =
                        f.Output
                        |> Array2D.mapi (fun row at x -> if row = last && at = f.Size - 1 then 0f else x)

                    f4.TransformOutput p { f with Output = wrong } o sums
        }
        |> Piece.ofWinograd
            "m084-last-row-of-the-tile"
            "A new F(4,3) was wrong and was reverted; here the last row of each tile lacks the term at infinity."

        { f2 with
            TransformKernel = fun f g -> sandwich f.Kernel (Array.init 9 (fun at -> g[at % 3 * 3 + at / 3]))
        }
        |> Piece.ofWinograd
            "q61-kernel-transposed-in-its-transform"
            "The kernel is transformed from the left and from the right in the wrong order, which transposes it."

        { f2 with
            TransformInput =
                fun f d ->
                    // Bᵀ·d·Bᵀ
                    let size, m = f.Size, f.Input
                    let times (element: int -> float32) (weight: int -> float32) = Seq.init size (fun t -> weight t * element t) |> Seq.sum

                    let half =
                        Array.init d.Length (fun at -> times (fun t -> d[t * size + at % size]) (fun t -> m[at / size, t]))

                    Array.init d.Length (fun at -> times (fun t -> half[at / size * size + t]) (fun t -> m[t, at % size]))
        }
        |> Piece.ofWinograd "q62-input-transform-not-transposed" "The second pass over a window uses the matrix of the first as it is."

        { f2 with
            TransformOutput = fun p f o sums -> sandwich f.Output (sums |> Array.map (fun y -> y + bias p o))
        }
        |> Piece.ofWinograd "q63-bias-before-the-transform" "The bias is added to the sums before they are transformed back."

        { f4 with
            TransformOutput = fun p f o sums -> f4.TransformOutput p f (o % p.Shape.OutChannelsPerGroup) sums
        }
        |> Piece.ofWinograd "q64-bias-of-the-first-group" "The transform of the outputs of a group takes the bias of the first."

        { f4 with
            TransformOutput =
                fun p f o sums ->
                    // Four rows of six, and four columns: in place, the second pass meets what the first has written.
                    let size = f.Size
                    let place = Array.copy sums

                    for column in 0 .. size - 1 do
                        for row in 0 .. f.Outputs - 1 do
                            place[row * size + column] <- Seq.init size (fun t -> f.Output[row, t] * place[t * size + column]) |> Seq.sum

                    Array.init (f.Outputs * f.Outputs) (fun at ->
                        Seq.init size (fun t -> f.Output[at % f.Outputs, t] * place[at / f.Outputs * size + t])
                        |> Seq.sum
                        |> (+) (bias p o))
        }
        |> Piece.ofWinograd "q65-transform-in-place" "The sums are transformed back in the memory that they stand in, row upon row."
    ]

/// Rounds to nearest even with 11 significant bits, as TF32 has.
let private tf32 (x: float32) =
    if not (Single.IsFinite x) then
        x
    else
        let bits = BitConverter.SingleToUInt32Bits x
        BitConverter.UInt32BitsToSingle((bits + 0xFFFu + ((bits >>> 13) &&& 1u)) >>> 13 <<< 13)

let private f16 (x: float32) = float32 (Half.op_Explicit x: Half)

let private sums =
    [
        { f4 with Accumulate = fun sum u v -> sum + tf32 u * tf32 v }
        |> Piece.ofWinograd
            "m108-tf32-in-the-transform-domain"
            "The matrix product in the transform domain ran in TF32, whose error the transform of the outputs magnifies."

        { f2 with Accumulate = fun sum u v -> f16 (sum + f16 u * f16 v) }
        |> Piece.ofWinograd "m128-f16-in-the-transform-domain" "Winograd ran in float16 alone, transformed operands and sums alike."

        { f2 with
            Depth =
                fun s ->
                    if s.InChannelsPerGroup > 4 then
                        s.InChannelsPerGroup / 4 * 4
                    else
                        s.InChannelsPerGroup
        }
        |> Piece.ofWinograd "q66-channels-in-fours" "The transform domain sums channels four at a time, and the rest of them is forgotten."

        { f4 with Clear = ignore }
        |> Piece.ofWinograd "q67-sums-of-the-image-before" "The sums in the transform domain are not cleared between images and groups."

        { f4 with
            KernelAt = fun s position o c -> f4.KernelAt s position (o % s.OutChannelsPerGroup) c
        }
        |> Piece.ofWinograd
            "q68-transformed-kernels-of-one-group"
            "There is room for the transformed kernels of one group: each group's replace those of the one before."

        { f2 with
            InputAt = fun m position c tile -> (position * m.Rows + c) * m.Columns + tile
        }
        |> Piece.ofWinograd
            "q69-rows-for-depth"
            "The pitch between two positions is computed from the output channels where the windows have the input's."
    ]

let private scratch =
    [
        { f4 with
            InputAt = fun m position c tile -> int (uint16 (f4.InputAt m position c tile))
        }
        |> Piece.ofWinograd "q70-transform-offset-of-16-bits" "Offsets into the transformed windows overflow; here at 16 bits."

        { f4 with
            Threads = 4
            ScratchOf = fun one -> one.Number % 2
            Schedule = Team.inTurn
        }
        |> Piece.ofWinograd
            "m096-buffers-for-two-threads"
            "The buffers of Winograd were made for the number of threads that there had been; here four share those of two."
    ]

let all = dispatch @ grid @ windows @ borders @ transforms @ sums @ scratch
