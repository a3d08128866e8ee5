/// What is computed before any convolution: SAME padding, transposed sizes, the checks of parameters, and a matrix product, each from the
/// textbook. With the honest organs they are right.
module internal Conv.Properties.TextbookGeometry

open System
open System.Numerics
open Conv

/// The sixteen numbers of a shape.
type Numbers =
    {
        Sizes: int list
    }

    member n.Batch = n.Sizes[0]
    member n.InChannels = n.Sizes[1]
    member n.OutChannels = n.Sizes[4]
    member n.Groups = n.Sizes[15]

    /// size, taps, stride, pads before and after, dilation of an axis: rows 0, columns 1.
    member n.Axis axis = [ 2; 5; 7; 9; 11; 13 ] |> List.map (fun at -> int64 n.Sizes[at + axis])

let private names =
    "batch inChannels inHeight inWidth outChannels kernelHeight kernelWidth strideHeight strideWidth "
    + "padTop padLeft padBottom padRight dilationHeight dilationWidth groups"
    |> fun text -> text.Split ' '

let private transposedNames =
    [| yield! names[..14]; "outputPaddingHeight"; "outputPaddingWidth"; "groups" |]

/// What is wrong with a parameter: its name and why.
type Complaint = (struct (string * string)) option

[<NoEquality; NoComparison>]
type Organs =
    {
        /// size, taps, stride, dilation, upper → zeros before and after.
        SamePads: int -> int -> int -> int -> bool -> struct (int * int)
        /// size, taps, stride, dilation, pads, output padding → size.
        TransposedSize: int -> int -> int -> int -> int -> int -> int -> int
        /// Output size, taps, stride, dilation, pads → output padding.
        OutputPadding: int -> int -> int -> int -> int -> int -> int
        /// Each number alone.
        Ranges: Numbers -> Complaint
        /// Whether channels divide into groups.
        Divides: Numbers -> Complaint
        /// Whether the kernel fits the padded input, of rows and of columns.
        Fits: Numbers -> int -> Complaint
        /// Whether what is counted fits 64 bits.
        Counts: Numbers -> Complaint
    }

/// The extra zeros of SAME padding, on both sides.
let split total upper =
    if upper then
        struct (total / 2, total - total / 2)
    else
        struct (total - total / 2, total / 2)

/// Every product of sizes that a convolution counts, elements and multiply-adds.
let counts (n: Numbers) =
    let big = List.map (fun (size: int64) -> BigInteger size)

    let outputs =
        [
            for axis in 0..1 ->
                match n.Axis axis with
                | [ size; taps; stride; before; after; dilation ] ->
                    BigInteger((size + before + after - (taps - 1L) * dilation - 1L) / stride + 1L)
                | _ -> BigInteger.Zero
        ]

    let image = big [ int64 n.Sizes[2]; int64 n.Sizes[3] ]

    let kernel =
        big [ int64 n.OutChannels; int64 (n.InChannels / n.Groups); int64 n.Sizes[5]; int64 n.Sizes[6] ]

    let batch = big [ int64 n.Batch ]

    [
        batch @ big [ int64 n.InChannels ] @ image
        batch @ big [ int64 n.OutChannels ] @ outputs
        kernel
        batch @ kernel @ outputs
    ]

let honest =
    {
        SamePads =
            fun size taps stride dilation upper ->
                let outputs = (size + stride - 1) / stride
                split (max 0 ((outputs - 1) * stride + (taps - 1) * dilation + 1 - size)) upper
        TransposedSize =
            fun size taps stride dilation before after more -> (size - 1) * stride + (taps - 1) * dilation + 1 + more - before - after
        OutputPadding = fun size taps stride dilation before after -> (size + before + after - (taps - 1) * dilation - 1) % stride
        Ranges =
            fun n ->
                let least at = if List.contains at [ 0; 1; 4; 9; 10; 11; 12 ] then 0 else 1

                Seq.init 16 id
                |> Seq.tryFind (fun at -> n.Sizes[at] < least at)
                |> Option.map (fun at -> struct (names[at], $"is {n.Sizes[at]}, at least {least at} is needed"))
        Divides =
            fun n ->
                if n.InChannels % n.Groups <> 0 || n.OutChannels % n.Groups <> 0 then
                    Some(
                        struct ("groups", $"is {n.Groups}, which divides inChannels = {n.InChannels} or outChannels = {n.OutChannels} not")
                    )
                else
                    None
        Fits =
            fun n axis ->
                match n.Axis axis with
                | [ size; taps; _; before; after; dilation ] when
                    (taps - 1L) * dilation + 1L > size + before + after
                    || size + before + after > int64 Int32.MaxValue
                    ->
                    Some(struct (names[5 + axis], $"is {taps} with dilation {dilation}, on {size} + {before} + {after}"))
                | _ -> None
        Counts =
            fun n ->
                if
                    counts n
                    |> List.exists (fun sizes -> List.reduce (*) sizes > BigInteger Int64.MaxValue)
                then
                    Some(struct ("batch", $"is {n.Batch}, with which a count leaves 64 bits"))
                else
                    None
    }

/// Raises where sixteen numbers are no shape.
let private check organs numbers =
    let n = { Sizes = numbers }

    [
        organs.Ranges
        organs.Divides
        (fun n -> organs.Fits n 0)
        (fun n -> organs.Fits n 1)
        organs.Counts
    ]
    |> List.tryPick (fun complains -> complains n)
    |> Option.iter (fun (struct (name, why)) -> raise (ArgumentException($"{name} {why}.", name)))

let private complain (name: string) why = raise (ArgumentException($"{name} {why}.", name))

/// Raises where eighteen numbers are no transposed shape: each by itself, then the size of each axis, then the forward convolution.
let private checkTransposed organs (numbers: int list) =
    let n = Array.ofList numbers
    let forward = [ n[0]; n[4]; n[2]; n[3]; n[1]; yield! n[5..14]; n[17] ]

    organs.Ranges { Sizes = forward }
    |> Option.iter (fun (struct (name, why)) ->
        match name with
        | "inChannels" -> complain "outChannels" why
        | "outChannels" -> complain "inChannels" why
        | _ -> complain name why)

    for at in 15..16 do
        if n[at] < 0 || n[at] >= n[at - 8] then
            complain transposedNames[at] $"is {n[at]}, at a stride of {n[at - 8]}"

    let size axis =
        let of' at = int64 n[at + axis]

        let size = (of' 2 - 1L) * of' 7 + (of' 5 - 1L) * of' 13 + 1L + of' 15 - of' 9 - of' 11

        if size < 1L || size > int64 Int32.MaxValue then
            complain (if size < 1L then transposedNames[9 + axis] else transposedNames[7 + axis]) $"makes an output of {size}"

        int size

    let rows, columns = size 0, size 1

    check
        organs
        (forward
         |> List.mapi (fun at number ->
             if at = 2 then rows
             elif at = 3 then columns
             else number))

/// Raises where there is no SAME padding.
let private checkSame (numbers: int list) =
    match numbers with
    | [ size; taps; stride; dilation ] ->
        for name, number in [ "size", size; "taps", taps; "stride", stride; "dilation", dilation ] do
            if number < 1 then
                complain name $"is {number}"

        let zeros =
            (int64 size - 1L) / int64 stride * int64 stride
            + (int64 taps - 1L) * int64 dilation
            + 1L
            - int64 size

        if zeros > int64 Int32.MaxValue then
            complain "taps" $"is {taps}, which takes {zeros} zeros"
    | _ -> invalidArg (nameof numbers) "SAME padding follows from four numbers."

/// A subject that has the kit's right sizes and costs, and these organs.
let subject name (organs: Organs) =
    let formulas =
        Subject.ofFormulas name (fun s -> struct (int64 s.Rows.Outputs, int64 s.Columns.Outputs)) _.MultiplyAdds

    { formulas with
        Profile =
            { formulas.Profile with
                Capabilities = formulas.Profile.Capabilities + set [ SamePads; TransposedSize; Misuse ]
            }
        SamePads = organs.SamePads
        TransposedSize = organs.TransposedSize
        OutputPadding = organs.OutputPadding
        Refuse =
            fun bad ->
                let thrown =
                    try
                        match bad with
                        | BadShape numbers -> check organs numbers
                        | BadTransposed numbers -> checkTransposed organs numbers
                        | BadSame numbers -> checkSame numbers
                        | _ -> raise (NotSupportedException "Formulas are given numbers, no tensors.")

                        None
                    with error ->
                        Some error

                { Thrown = thrown; Written = 0 }
    }

/// How far the rows of A, B and C lie apart.
[<Struct>]
type Distances = { A: int; B: int; C: int }

/// The factors of C = A·B + bias.
[<NoEquality; NoComparison>]
type ProductOrgans =
    {
        /// Columns and depth; the distances as given → as they are used.
        Apart: int -> int -> Distances -> Distances
        /// What follows a row of the result: the result, where the row begins, its width, and where the next one begins.
        EndRow: float32[] -> int -> int -> int -> unit
    }

let honestProduct =
    {
        Apart = fun _ _ given -> given
        EndRow = fun _ _ _ _ -> ()
    }

/// A matrix product from the textbook.
let product name (organs: ProductOrgans) =
    Subject.ofProduct name (fun rows columns depth a lda b ldb bias c ldc ->
        let apart = organs.Apart columns depth { A = lda; B = ldb; C = ldc }

        for i in 0 .. rows - 1 do
            for j in 0 .. columns - 1 do
                let mutable sum = bias[i]

                for l in 0 .. depth - 1 do
                    sum <- sum + a[i * apart.A + l] * b[l * apart.B + j]

                c[i * apart.C + j] <- sum

            organs.EndRow c (i * apart.C) columns ((i + 1) * ldc))
