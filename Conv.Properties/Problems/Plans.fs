/// What the styles of larger problems have in common: how a size is drawn, a problem of which everything is small, and what shrinks last.
module internal Conv.Properties.Plans

open System
open System.Numerics
open FsCheck
open FsCheck.FSharp
open Conv.Properties.Reach

let private octave (size: int) = BitOperations.Log2(uint size)

/// A size between two, its octave uniform: a power of two or one beside it, a multiple of what vectors and blocks hold, or anything of the
/// octave.
let sized lo hi : Gen<int> =
    gen {
        let! e = Gen.choose (octave lo, octave hi)
        let first = 1 <<< e
        let! style = Gen.choose (0, 4)

        let! value =
            match style with
            | 0
            | 1 -> Gen.elements [ first - 1; first; first + 1 ]
            | 2
            | 3 when first >= 8 ->
                gen {
                    let! block =
                        [ 4; 8; 16; 32 ]
                        |> List.filter (fun block -> 2 * block <= first)
                        |> Gen.elements

                    let! blocks = Gen.choose (first / block, 2 * first / block - 1)
                    return block * blocks
                }
            | _ -> Gen.choose (first, 2 * first - 1)

        return Math.Clamp(value, lo, hi)
    }

let often (weighted: (int * int list) list) = Gen.frequency [ for weight, values in weighted -> weight, Gen.elements values ]
let taps = often [ 5, [ 1 ]; 3, [ 2 ]; 8, [ 3 ]; 3, [ 4; 5 ]; 1, [ 7 ] ]
let stride = often [ 8, [ 1 ]; 3, [ 2 ]; 1, [ 3; 4 ] ]
let dilation = often [ 8, [ 1 ]; 2, [ 2 ]; 1, [ 3; 4 ] ]
let pad = often [ 5, [ 0 ]; 5, [ 1 ]; 2, [ 2 ]; 1, [ 3; 4 ] ]
let images = often [ 10, [ 1 ]; 5, [ 2 ]; 2, [ 3; 4; 5 ]; 2, [ 8; 9; 12; 15; 16; 17; 32; 33 ] ]
let private few = often [ 2, [ 1 ]; 2, [ 2; 3 ]; 2, [ 4; 5; 7; 8 ]; 1, [ 9; 16; 17 ] ]
let private side = often [ 2, [ 1; 2; 3 ]; 3, [ 4; 5; 6; 7; 8 ]; 2, [ 9; 12; 14; 16; 17 ] ]

/// Both axes alike in half of the draws.
let both axis =
    gen {
        let! first = axis
        let! second = Gen.frequency [ 1, Gen.constant first; 1, axis ]
        return first, second
    }

/// No pads, the pads that keep the size, one on all sides, or any.
let pads (kernel: int * int) (dilation: int * int) =
    let same taps dilation = (taps - 1) * dilation / 2
    let row, column = same (fst kernel) (fst dilation), same (snd kernel) (snd dilation)

    Gen.oneof
        [
            Gen.constant (0, 0, 0, 0)
            Gen.constant (row, column, row, column)
            pad |> Gen.map (fun p -> p, p, p, p)
            gen {
                let! top, left, bottom = Gen.three pad
                let! right = pad
                return top, left, bottom, right
            }
        ]

/// Groups, and the channels in and out of each: one group, a few, or a group for each channel.
let channels (c: int) (o: int) : Gen<int * int * int> =
    Gen.frequency
        [
            6, Gen.constant (1, c, o)
            1, Gen.choose (2, 4) |> Gen.map (fun groups -> groups, c, o)
            2, often [ 3, [ 1 ]; 1, [ 2; 3 ] ] |> Gen.map (fun multiplier -> c, 1, multiplier)
        ]

/// A plan that keeps nothing.
let planned batch (groups, c, o) (height, width) kernel stride dilation pads : Plan =
    {
        Batch = batch
        Groups = groups
        In = c
        Out = o
        Height = height
        Width = width
        Kernel = kernel
        Stride = stride
        Dilation = dilation
        Pads = pads
        Kept = Set.empty
    }

/// A problem of which everything is small.
let modest =
    gen {
        let! batch = images
        let! groups, c, o = Gen.two few |> Gen.bind (fun (c, o) -> channels c o)
        let! height, width = Gen.two side
        let! kernel = both taps
        let! stride = both stride
        let! dilation = both dilation
        let! pads = pads kernel dilation

        return planned batch (groups, c, o) (height, width) kernel stride dilation pads
    }

let keeping parts (p: Plan) = { p with Kept = Set.union p.Kept (set parts) }

/// Rows and columns exchanged.
let private turned (p: Plan) =
    let exchange (a, b) = b, a
    let top, left, bottom, right = p.Pads

    let turn part =
        match part with
        | Rows -> Columns
        | Columns -> Rows
        | RowTaps -> ColumnTaps
        | ColumnTaps -> RowTaps
        | other -> other

    { p with
        Height = p.Width
        Width = p.Height
        Kernel = exchange p.Kernel
        Stride = exchange p.Stride
        Dilation = exchange p.Dilation
        Pads = left, top, right, bottom
        Kept = Set.map turn p.Kept
    }

let eitherWay (plan: Gen<Plan>) =
    gen {
        let! plan = plan
        let! turns = Gen.elements [ true; false ]
        return if turns then turned plan else plan
    }
