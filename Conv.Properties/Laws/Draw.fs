namespace Conv.Properties

open System
open FsCheck
open FsCheck.FSharp
open Conv

/// Which numbers a law is judged on.
type internal Data =
    /// Exact tier: integers on the subject's grid. Bounded tier: uniform, wide-ranging and positive reals.
    | Any
    /// As Any, but on grids of any size: a product is a multiple of 2⁻⁸⁰ to 2¹⁴.
    | Ranged
    /// Exact tier: as many numbers as the grid has room for, on both sides.
    | Balanced
    /// As Any, but where the arithmetic is AnyOrder the exact tier takes reals over a wide range: each output is a single product.
    | SingleTerm
    /// Reals in every tier.
    | Reals
    /// Reals from (0, 1).
    | Nonnegative
    /// Exact tier: integers on the grid; bounded tier: small integers, or reals where the arithmetic is AnyOrder.
    | Scalable
    /// Reals from [−1, 1), in steps of 2⁻²³.
    | Fractions
    /// Every significand of the declared input precision.
    | Significant
    /// Integers on the finest grid of float32: products are subnormal, and operands too in one draw of three.
    | Tiny

/// Draws the cases of a law for a subject: the geometry, then numbers on the grid of the arithmetic that the geometry meets.
module internal Draw =
    /// What one problem of a case leaves room for: what a product counts in units of the grid, live channels, the kernel's step, the units
    /// that a sum may have, and the greatest operand.
    type private Room =
        {
            Amplification: float
            Channels: float
            Step: int
            Units: float
            Operand: float
            /// Products of a sum of a narrow format that sparse channels do not thin out: the taps of one channel.
            Taps: float
        }

    /// 2²⁴ units, less a hundredth for the bias.
    let private spacious = 0.99 * Math.ScaleB(1.0, 24)

    /// A law may add operands to each other three times.
    let private operands bits = Math.Floor((Math.ScaleB(1.0, bits) - 1.0) / 3.0)

    /// The widest integers for which n products (times what the law multiplies them by) stay on the grid, and the grid's step. Where a law
    /// feeds results to another call, they are operands too.
    let private room (profile: Profile) (problems: Call list) growth chains =
        problems
        |> List.map (fun call ->
            let s = call.Shape

            let direct =
                {
                    Amplification = growth * float (Operation.terms call.Operation s)
                    Channels = 1.0
                    Step = 1
                    Units = spacious
                    Operand = Math.ScaleB(1.0, 22)
                    Taps = 0.0
                }

            match
                (if call.ByOracle then
                     AnyOrder() :> Arithmetic
                 else
                     profile.Arithmetic(call.Operation, s))
            with
            | :? Bilinear as algorithm when (BilinearProgram.Of algorithm).HasExactGrid ->
                let program = BilinearProgram.Of algorithm

                { direct with
                    Amplification = program.Amplification * growth
                    Channels = float s.InChannelsPerGroup
                    Step = program.KernelStep
                }
            | :? Rounded as r ->
                let sums = min r.Accumulator.Precision r.Output.Precision
                let bits = if chains then min sums r.Input.Precision else sums
                // Half for the bias.
                { direct with
                    Units = min spacious (Math.ScaleB(0.5, bits))
                    Operand = operands r.Input.Precision
                    Taps = growth * float s.KernelPlane
                }
            | :? Quantized as q ->
                { direct with
                    Units = if chains then operands (q.Bits - 1) else spacious
                    Operand = operands (q.Bits - 1)
                }
            // Its bound on the result stays below half of the grid: docs/bounds.md, lemma 19.
            | :? Within as within ->
                let terms = float (Operation.terms call.Operation s) + 1.0

                { direct with
                    Units = min spacious (Math.ScaleB(0.98, 23) / (within.Factor * terms))
                }
            | _ -> direct)

    /// Integers on the grid of every problem that the case will pose.
    let private latticeOf styles biases profile problems growth chains : Gen<Lattice> =
        gen {
            let rooms = room profile problems growth chains
            let step = rooms |> List.map _.Step |> List.fold max 1
            let bilinear = step > 1 || rooms |> List.exists (fun r -> r.Channels > 1.0)
            let operand = rooms |> List.map _.Operand |> List.fold min (Math.ScaleB(1.0, 22))
            let narrow = operand < Math.ScaleB(1.0, 22)
            // What D·t may be when every channel is live; a problem of any order also multiplies by the step of the kernel.
            let most =
                rooms
                |> List.map (fun r ->
                    let stepped = if r.Step = step then 1.0 else float step
                    r.Units / (r.Amplification * stepped * r.Channels))
                |> List.fold min spacious

            // Sparse channels keep long sums on the grid.
            let liveEvery = if most >= 1.0 then 1 else int (ceil (1.0 / most)) + 1
            let most = max 1.0 (min (most * float liveEvery) (Math.ScaleB(1.0, 22)))
            let! style = Gen.elements styles
            let root = int (sqrt most)

            let inputMax, kernelMax =
                match style with
                | 0 -> 1, 1
                | 1 -> min 9 (max 1 root), min 3 (max 1 (root / 2))
                | 2 -> max 1 root, max 1 root
                | _ -> (if bilinear then max 1 (int most) else min 4096 (max 1 (int most))), 1

            let inputMax, kernelMax = min inputMax (int operand), min kernelMax (int operand)
            let fitted = inputMax, max 1 (min kernelMax (int (most / float inputMax)))
            let! a = Gen.frequency [ 3, Gen.constant 0; 1, Gen.choose (-8, 8) ]
            let! c = Gen.frequency [ 3, Gen.constant 0; 1, Gen.choose (-8, 8) ]
            let! bias = Gen.elements biases
            let units = rooms |> List.map _.Units |> List.fold min spacious

            return
                {
                    InputMax = fst fitted
                    KernelMax = snd fitted
                    KernelStep = step
                    // A narrow format keeps half of its units for the bias, which a law may double.
                    BiasMax =
                        if narrow || units < spacious then
                            max 1 (min bias (int (units / 3.0)))
                        else
                            bias
                    // Narrow formats have a narrow range too.
                    InputExponent = if narrow then 0 else a
                    // 2⁹⁰ times as much is still a float (RANGE).
                    KernelExponent = if narrow then 0 else min c (14 - a)
                    LiveEvery = liveEvery
                }
        }

    /// The same integers, in one draw of six on a much finer grid: there what is rounded to fixed point, or nothing below some epsilon, is lost.
    let private finer (lattice: Gen<Lattice>) =
        gen {
            let! lattice = lattice
            let! a, c = Gen.frequency [ 5, Gen.constant (0, 0); 1, Gen.two (Gen.choose (0, 32)) ]

            return
                { lattice with
                    InputExponent = lattice.InputExponent - a
                    KernelExponent = lattice.KernelExponent - c
                }
        }

    let private lattice profile problems growth chains = latticeOf [ 0; 1; 2; 3 ] [ 1; 9; 100 ] profile problems growth chains

    /// Whether sums of one channel in several stay on the grid of a narrow format: up to as many products again come in by rounding the number of
    /// live channels up.
    let private hasGrid profile problems growth chains =
        room profile problems growth chains
        |> List.forall (fun r -> 2.0 * r.Taps <= r.Units)

    /// The significant bits that an input keeps under every declared arithmetic.
    let private significantBits (profile: Profile) (problems: Call list) =
        problems
        |> List.map (fun call ->
            match profile.Arithmetic(call.Operation, call.Shape) with
            | :? Rounded as r -> min r.Input.Precision (min r.Accumulator.Precision r.Output.Precision)
            | :? Quantized as q -> q.Bits - 1
            | _ -> 24)
        |> List.fold min 24

    let private fill (profile: Profile) tier data problems growth chains : Gen<FillKind> =
        let own = problems |> List.filter (fun call -> not call.ByOracle)

        let anyOrder =
            own
            |> List.forall (fun call ->
                match profile.Arithmetic(call.Operation, call.Shape) with
                | :? AnyOrder -> true
                | _ -> false)

        let narrow =
            own
            |> List.exists (fun call ->
                match profile.Arithmetic(call.Operation, call.Shape) with
                | :? Rounded as r -> r.Input.MaxExponent < 127
                | _ -> false)

        let wide =
            own
            |> List.forall (fun call ->
                match profile.Arithmetic(call.Operation, call.Shape) with
                | :? AnyOrder
                | :? Bilinear
                | :? Within -> true
                | _ -> false)

        // Formats that hold a number 2⁸⁰ times as small.
        let hasRange =
            own
            |> List.forall (fun call ->
                match profile.Arithmetic(call.Operation, call.Shape) with
                | :? Rounded as r ->
                    [ r.Input; r.Accumulator; r.Output ]
                    |> List.forall (fun format -> format.MaxExponent >= 127)
                | :? AnyOrder
                | :? Bilinear
                | :? Within -> true
                | _ -> false)

        // Channels that are large in the input are those of weights of zero, in each group.
        let sheltered =
            own
            |> List.forall (fun call ->
                let s = call.Shape
                s.InChannelsPerGroup % 2 = 0 || s.Groups = 1 && s.InChannels > 1)

        // Products of every size overflow a narrow range.
        let reals =
            Gen.frequency
                [
                    4, Gen.constant Uniform
                    2, Gen.constant (if narrow then FewBits else Wide)
                    1, Gen.constant Positive
                    if wide then
                        1, Gen.elements [ Spiked; (if sheltered then Sheltered else Spiked) ]
                ]

        let integers = lattice profile problems growth chains |> Gen.map Lattice

        let tiny exponent =
            lattice profile problems growth chains
            |> Gen.map (fun l -> Lattice { l with InputExponent = exponent; KernelExponent = -149 - exponent })

        match data, tier with
        | Significant, _ -> Gen.constant (Significands(significantBits profile own))
        | Tiny, _ -> Gen.elements [ -149; -100; -75; -49; 0 ] |> Gen.bind tiny
        | Balanced, Exact -> latticeOf [ 2 ] [ 10_000 ] profile problems growth chains |> Gen.map Lattice
        | Ranged, Exact when hasRange -> lattice profile problems growth chains |> finer |> Gen.map Lattice
        | Reals, _ -> reals
        | Nonnegative, _ -> Gen.constant Positive
        | Fractions, _ -> Gen.constant Uniform
        | SingleTerm, Exact when anyOrder -> Gen.frequency [ 3, Gen.constant Wide; 1, integers ]
        | Scalable, Bounded when not anyOrder -> Gen.constant FewBits
        | _, Exact -> integers
        | _, Bounded -> reals

    /// How often a geometry that no problem of the law can use is drawn anew: a few times as the law would rather have it, longer where the
    /// subject says to look, then, for laws that reach what it supports from elsewhere, anywhere; then the case is given up as it is.
    let private choosyAttempts, hintedAttempts, attempts = 8, 60, 200

    /// Where the problems of a case come from.
    type Source =
        /// Drawn, as large as that.
        | Sized of Reach.Size
        /// The caller's own: taken as it is, or not at all.
        | Given of ConvShape

    /// Whether a larger problem costs no more than it may, after what a subject or a law has made of it; a law may double it.
    let private isAffordable source (s: ConvShape) =
        match source with
        | Sized size when size <> Reach.Small -> Reach.cost s <= 2L * Reach.budget size
        | _ -> true

    /// Whether there may be no numbers for a problem that was drawn, where another would do as well: it is large, or its sums have a narrow format.
    let private mayLackNumbers source (profile: Profile) (problems: Call list) =
        match source with
        | Given _ -> false
        | Sized size when size <> Reach.Small -> true
        | Sized _ ->
            problems
            |> List.exists (fun call ->
                match profile.Arithmetic(call.Operation, call.Shape) with
                | :? Rounded as r -> not call.ByOracle && r.Accumulator.Precision < 24
                | _ -> false)

    /// The case on a problem so much smaller that all its calls together cost no more than they may.
    let private withCalls subject equations project source (case: Case) =
        match source with
        | Sized size when size <> Reach.Small ->
            let whole =
                Judge.plan subject equations case
                |> List.sumBy (fun call -> Reach.cost call.Shape)

            let most = Reach.budgetOfCalls size

            if whole <= most then
                case
            else
                Reach.fitTo (Reach.cost case.Problem * most / whole) case.Problem
                |> project
                |> ValueOption.map (fun smaller -> { case with Problem = smaller })
                |> ValueOption.defaultValue case
        | _ -> case

    /// Cases of a law for a subject: draw the geometry, ask for its arithmetic, then fill.
    let cases id geometry project data growth chains (equations: Trial -> Equation list) (profile: Profile) tier source : Gen<Case> =
        let subject = Subject.ofProfile profile
        let geometry: Reach.Size -> Traits -> Gen<ConvShape> = geometry
        let growth: Trial -> float = growth

        let rec attempt left =
            gen {
                let tried = attempts - left
                let traits = if tried < hintedAttempts then profile.Traits else Traits.Default
                // A subject may take none of the problems that the law would rather have.
                let geometry = if tried < choosyAttempts then geometry else Styles.geometry

                let! drawn =
                    match source with
                    | Sized size -> geometry size traits |> Gen.map profile.Nearest
                    | Given shape -> Gen.constant shape

                let! args = Gen.choose (0, 999_999) |> Gen.listOfLength 3

                // Every other time, what the subject does not take is simplified until it does.
                let accepts shape =
                    match project shape with
                    | ValueSome projected -> profile.Supports projected
                    | ValueNone -> false

                let drawn =
                    match source with
                    | Sized size when (left + args.Head) % 2 = 0 ->
                        let fit =
                            match size with
                            | Reach.Small -> Generate.fit
                            | larger -> Reach.fit larger

                        Generate.towardsFitting fit accepts args.Head drawn
                        |> ValueOption.filter (isAffordable source)
                        |> ValueOption.defaultValue drawn
                    | _ -> drawn

                match project drawn with
                | ValueNone when left > 0 -> return! attempt (left - 1)
                | ValueSome projected when left > 0 && not (isAffordable source projected) -> return! attempt (left - 1)
                | projected ->
                    let case =
                        {
                            Law = id
                            Tier = tier
                            // Where nothing was found that does, the case costs no more for it.
                            Problem =
                                match source, ValueOption.defaultValue drawn projected with
                                | Sized size, given when not (isAffordable source given) ->
                                    let smaller = Reach.fit size given
                                    project smaller |> ValueOption.defaultValue smaller
                                | _, given -> given
                            Args = args
                            Fill = Explicit []
                        }

                    let case = case |> withCalls subject equations project source
                    let problems = Judge.plan subject equations case
                    let growth = growth (new Trial(subject, case, true))

                    // A problem may have more taps than a narrow format has units: another may not.
                    let isHeld () =
                        tier = Bounded
                        || not (mayLackNumbers source profile problems)
                        || hasGrid profile problems growth chains

                    if left > 0 && not (Judge.serves problems && isHeld ()) then
                        return! attempt (left - 1)
                    else
                        let! kind = fill profile tier data problems growth chains
                        let! high, low = Gen.two (Gen.choose (0, Int32.MaxValue))
                        let seed = Fill.mix (uint64 high <<< 31 ||| uint64 low)
                        return { case with Fill = Drawn(kind, seed) }
            }

        attempt attempts
