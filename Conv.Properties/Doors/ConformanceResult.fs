namespace Conv.Properties

open System

/// A law did not hold; the message is the counterexample.
[<Sealed>]
type ConformanceException(message: string) =
    inherit Exception(message)

/// What a law said of a convolution.
[<Sealed>]
type ConformanceResult
    internal
    (law: Law, status: string, message: string, throws: bool, counterexample: string | null, seed: uint64, cases: int, compared: int64) =
    /// The law's id.
    member _.Law = law.Id

    /// What the law says.
    member _.Statement = law.Statement

    /// The clause of the specification that it stands for.
    member _.Clause = law.Clause

    /// "MUST", "SHOULD" or "MAY".
    member _.Strength = (string law.Strength).ToUpperInvariant()

    /// "holds", "broken", "undecided", "unsupported" or "not applicable".
    member _.Status = status

    /// The counterexample, drawn; or the reason why nothing is decided; or what was compared.
    member _.Message = message

    /// The shrunk counterexample as the line that <c>Conformance.Replay</c> takes; null where nothing is broken.
    member _.Counterexample = counterexample

    /// The seed that the cases were drawn by.
    member _.Seed = seed

    /// Cases that decided for the law.
    member _.Cases = cases

    /// Numbers compared.
    member _.Compared = compared

    /// Throws for what is broken (a SHOULD or MAY too), faulted or undecided. A law that no supported shape can satisfy does not throw.
    /// <exception cref="ConformanceException">The law does not hold, or nothing was decided.</exception>
    member _.ThrowIfNotHeld() =
        if throws then
            raise (ConformanceException $"{law.Id}: {status}{Environment.NewLine}{message}")

    /// The law and its status.
    override _.ToString() = $"{law.Id}: {status}"
