/// Trees of summation: found from outside by terms that absorb others, simulated, and told in words.
/// Source: Xie et al. 2024, FPRev: revealing floating-point accumulation orders.
module internal Conv.Properties.Summation

open System

/// A summation tree: its leaves are products, by their place in the sum.
type Tree =
    | Leaf of int
    | Node of Tree * Tree

let rec leaves tree =
    match tree with
    | Leaf at -> [ at ]
    | Node(a, b) -> leaves a @ leaves b

/// The tree from the number of leaves below the node where two terms meet; none where the numbers fit no tree of two operands each.
let rec treeOf (below: int -> int -> int) (terms: int list) : Tree option =
    match terms with
    | [] -> None
    | [ at ] -> Some(Leaf at)
    | first :: rest ->
        rest
        |> List.groupBy (below first)
        |> List.sortBy fst
        |> List.fold
            (fun tree (size, others) ->
                match tree, treeOf below others with
                | Some tree, Some other when (leaves tree).Length + others.Length = size -> Some(Node(tree, other))
                | _ -> None)
            (Some(Leaf first))

/// The sum in float32; a product is rounded by itself, or, where `fused` says so, together with the sum that it enters.
let rec simulate (fused: int -> bool) (x: float32[]) (k: float32[]) tree : float32 =
    let enters at other = MathF.FusedMultiplyAdd(x[at], k[at], simulate fused x k other)

    match tree with
    | Leaf at -> x[at] * k[at]
    // Of two products the later one enters the earlier, unless only the earlier is fused.
    | Node(Leaf a, Leaf b) when fused (max a b) -> enters (max a b) (Leaf(min a b))
    | Node(Leaf a, Leaf b) when fused (min a b) -> enters (min a b) (Leaf(max a b))
    | Node(Leaf at, (Node _ as other))
    | Node((Node _ as other), Leaf at) when fused at -> enters at other
    | Node(a, b) -> simulate fused x k a + simulate fused x k b

/// Which products may be fused: none, all, then every other choice, the same for all data.
let fusings n : (int -> bool) seq =
    seq {
        yield fun _ -> false
        yield fun _ -> true

        for chosen in 1 .. (1 <<< n) - 2 do
            yield fun at -> chosen &&& (1 <<< at) <> 0
    }

/// The tree with the operand that holds the earlier term first, and that term.
let rec private ordered tree =
    match tree with
    | Leaf at -> at, tree
    | Node(a, b) ->
        let (first, a), (second, b) = ordered a, ordered b
        if first < second then first, Node(a, b) else second, Node(b, a)

/// The terms in the order in which they are added where one is added after the other; the first two meet at once.
let rec private chain tree =
    match tree with
    | Leaf at -> Some [ at ]
    | Node(Leaf a, Leaf b) -> Some [ min a b; max a b ]
    | Node(rest, Leaf at)
    | Node(Leaf at, rest) -> chain rest |> Option.map (fun before -> before @ [ at ])
    | Node _ -> None

let private inTurn parts = List.reduce (fun sum part -> Node(sum, part)) parts

let rec private halves split parts =
    match parts with
    | [ part ] -> part
    | _ ->
        let left, right = List.splitAt (split (List.length parts)) parts
        Node(halves split left, halves split right)

let rec private neighbours parts =
    match parts with
    | [ part ] -> part
    | _ ->
        parts
        |> List.chunkBySize 2
        |> List.map (function
            | [ a; b ] -> Node(a, b)
            | odd -> odd.Head)
        |> neighbours

/// The usual trees of so many terms.
let private usual count : (string * Tree) list =
    let terms = List.init count Leaf
    let lower size = size / 2
    let upper size = (size + 1) / 2

    [
        "pairwise", halves lower terms
        "pairwise", halves upper terms
        "pairwise", neighbours terms
        for size in 2 .. count - 1 do
            $"in blocks of {size}", terms |> List.chunkBySize size |> List.map inTurn |> inTurn
        for lanes in 2 .. count / 2 do
            let sums = List.init lanes (fun lane -> [ lane..lanes .. count - 1 ] |> List.map Leaf |> inTurn)

            for combine in [ inTurn; halves lower; neighbours ] do
                $"in {lanes} lanes", combine sums
    ]

/// The tree in words: "left to right", "pairwise", "in blocks of 8", "in 4 lanes".
let describe (tree: Tree) =
    let count = (leaves tree).Length
    let shape = snd (ordered tree)

    let inOrder (order: int list) =
        match order with
        | a :: b :: rest -> min a b :: max a b :: rest
        | few -> few

    match chain tree with
    | Some order when order = inOrder [ 0 .. count - 1 ] -> "left to right"
    | Some order when order = inOrder [ count - 1 .. -1 .. 0 ] -> "right to left"
    | chain ->
        match usual count |> List.tryFind (fun (_, tree) -> snd (ordered tree) = shape) with
        | Some(name, _) -> name
        | None when chain.IsSome -> "one by one in an order of its own"
        | None -> "in a tree of its own"
