namespace Conv.Properties

/// A convolution with one known fault, modelled on a bug that was reported and fixed in a real library.
[<NoEquality; NoComparison>]
type Piece =
    {
        /// "m193-flipped-kernel": m and the number of the report in the collection, s for a slip of the textbook loop.
        Id: string
        /// owner/repository, or "textbook slip".
        Library: string
        /// The commit, issue or pull request; of a slip, its number among the simple faults.
        Reference: string
        /// What was wrong, in one sentence.
        Fault: string
        Class: string
        Subject: Subject
        /// Laws that break on it with the default seed and number of cases; others may.
        CaughtBy: string list
    }

module Piece =
    /// A piece from a subject that takes its name.
    let make subject library reference cls id fault caughtBy =
        {
            Id = id
            Library = library
            Reference = reference
            Fault = fault
            Class = cls
            Subject = subject ("museum:" + id)
            CaughtBy = caughtBy
        }

    /// A piece from the organs of the textbook convolution.
    let ofOrgans cls id library reference fault caughtBy organs =
        make (fun name -> Textbook.subject name organs) library reference cls id fault caughtBy

    /// A piece from the organs of the other operators.
    let ofOperators cls id library reference fault caughtBy organs =
        make (fun name -> TextbookAdjoint.subject name organs) library reference cls id fault caughtBy

    /// A piece from the organs that work on memory of the caller's.
    let ofMemory cls id library reference fault caughtBy organs =
        make (fun name -> TextbookMemory.subject name organs) library reference cls id fault caughtBy

    /// The same, where the organs leave their tensors.
    let ofOverrun cls id library reference fault caughtBy organs =
        make (fun name -> TextbookMemory.subjectWithRoom name organs) library reference cls id fault caughtBy

    /// A piece from SAME padding, transposed sizes or checks.
    let ofGeometry cls id library reference fault caughtBy organs =
        make (fun name -> TextbookGeometry.subject name organs) library reference cls id fault caughtBy

    /// A piece from a matrix product.
    let ofProduct cls id library reference fault caughtBy organs =
        make (fun name -> TextbookGeometry.product name organs) library reference cls id fault caughtBy

    /// A slip that many have made and nobody in particular.
    let slip cls id number fault caughtBy organs = ofOrgans cls id "textbook slip" $"simple fault {number}" fault caughtBy organs

    /// A piece from a wrong formula.
    let ofFormulas cls id library reference fault caughtBy (outputSize, multiplyAdds) =
        make (fun name -> Subject.ofFormulas name outputSize multiplyAdds) library reference cls id fault caughtBy
