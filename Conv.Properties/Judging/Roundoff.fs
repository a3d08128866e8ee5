/// The units that all bounds are made of: docs/bounds.md, lemma 1.
module internal Conv.Properties.Roundoff

open System

/// u = 2⁻²⁴, the unit roundoff of float32.
let unitRoundoff = Math.ScaleB(1.0, -24)

/// The smallest positive float32.
let smallest = Math.ScaleB(1.0, -149)

/// γ_m = m·u/(1 − m·u).
let gammaOf u (m: int64) =
    let m = float m
    m * u / (1.0 - m * u)

/// γ_m of float32.
let gamma m = gammaOf unitRoundoff m

/// The same in double, for the kit's own sums.
let gammaDouble m = gammaOf (Math.ScaleB(1.0, -53)) m

/// 1 + 2⁻²⁰: covers the rounding of evaluating a bound in double.
let inflation = 1.0 + Math.ScaleB(1.0, -20)
