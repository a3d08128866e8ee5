/// A case is a pure function of (profile, tier, law, seed, size, index): whatever ran before, at any number of threads, however many cases were
/// asked for.
module internal Conv.Properties.Address

open FsCheck
open FsCheck.FSharp

/// FNV-1a over the characters.
let private hash (text: string) =
    let mutable h = 0xCBF29CE484222325UL

    for c in text do
        h <- (h ^^^ uint64 c) * 0x100000001B3UL

    h

/// The engine's random state and size of the i-th case of a size.
let ofCase (seed: uint64) (law: string) (tier: Tier) (size: Reach.Size) (index: int) =
    let name =
        match size with
        | Reach.Small -> law + "/" + tier.Name
        | _ -> law + "/" + tier.Name + "/" + size.Name

    let start = Fill.mix (Fill.mix (seed + 0x9E3779B97F4A7C15UL) + hash name)
    let at = Fill.mix (start + uint64 index * 0xD1B54A32D192ED03UL)
    // The engine's generator needs an odd increment.
    Rnd(at, Fill.mix (at + 1UL) ||| 1UL), int (at % 100UL)

/// The i-th case of a size of a law for a profile.
let caseOf size seed (law: Law) profile tier index : Case =
    let rnd, growth = ofCase seed law.Id tier size index
    (law.Cases profile tier size |> Gen.sampleWithSeed rnd growth 1)[0]

/// The i-th small case.
let case seed law profile tier index = caseOf Reach.Small seed law profile tier index

/// A digest of cases in order, to compare two runs by.
let digest (state: uint64) (case: Case) = Fill.mix (state ^^^ hash (Case.print case))
