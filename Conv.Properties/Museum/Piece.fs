namespace Conv.Properties

open System
open System.Buffers.Binary
open System.Security.Cryptography
open System.Text
open System.Text.RegularExpressions

/// A bug that was reported, or a slip that needs no report: one line of reports.tsv.
type internal Report =
    {
        /// "M193": M of the collection of reported bugs, S of the simple faults, Q of the slips that were added here.
        Id: string
        /// owner/repository; empty for a slip.
        Repository: string
        /// Commit, issue or pull request; for a slip, what it is about.
        Reference: string
        /// What was wrong; empty where the piece says it all.
        Fault: string
        /// A letter and a name: "B padding geometry".
        Class: string
        /// The piece that imitates it; several reports may share one.
        Piece: string
    }

module internal Report =
    /// Where the report can be read.
    let link (report: Report) =
        let reference = Regex.Match(report.Reference, @"^(PR )?(issue )?([0-9a-f]+)")

        match report.Repository with
        | "" -> None
        | repository when reference.Groups[1].Success -> Some $"https://github.com/{repository}/pull/{reference.Groups[3]}"
        | repository when
            reference.Groups[2].Success
            || reference.Length < 7 && reference.Value |> Seq.forall Char.IsDigit
            ->
            Some $"https://github.com/{repository}/issues/{reference.Groups[3]}"
        | repository -> Some $"https://github.com/{repository}/commit/{reference.Groups[3]}"

    /// Every report, in the order of the file.
    let all: Report list =
        [
            for row in Resource.table "Museum.reports.tsv" 6 do
                {
                    Id = row[0]
                    Repository = row[1]
                    Reference = row[2]
                    Fault = row[3]
                    Class = row[4]
                    Piece = row[5]
                }
        ]

    let private ofPieces = all |> List.groupBy _.Piece |> dict

    /// The reports that a piece imitates: its own, which gives it its number, first.
    let ofPiece (id: string) =
        match ofPieces.TryGetValue id with
        | true, reports ->
            reports
            |> List.sortBy (fun report -> not (id.StartsWith(report.Id + "-", StringComparison.OrdinalIgnoreCase)))
        | _ -> invalidOp $"reports.tsv has no line for {id}."

/// A convolution with one known fault, modelled on a bug that was reported and fixed in a real library.
[<NoEquality; NoComparison>]
type internal Piece =
    {
        /// "m193-flipped-kernel": the number of its report, and what is wrong.
        Id: string
        /// What is wrong, in one sentence.
        Fault: string
        /// What it imitates; the first report is its own.
        Reports: Report list
        Subject: Subject
    }

    member piece.Class = piece.Reports.Head.Class

    /// Whether the piece is one of the fifth that nobody looks at while generators and the order of the laws are tuned: the first four
    /// bytes of the SHA-256 of its number ("M193"), as a big-endian number, are 0 mod 5.
    member piece.IsHeldOut =
        let hash = SHA256.HashData(Encoding.ASCII.GetBytes piece.Reports.Head.Id)
        BinaryPrimitives.ReadUInt32BigEndian hash % 5u = 0u

module internal Piece =
    /// A piece from a subject that takes its name.
    let make subject id fault =
        {
            Id = id
            Fault = fault
            Reports = Report.ofPiece id
            Subject = subject ("museum:" + id)
        }

    /// A piece from the organs of the textbook convolution.
    let ofOrgans id fault organs = make (fun name -> Textbook.subject name organs) id fault

    /// A piece from the organs of the other operators.
    let ofOperators id fault organs = make (fun name -> TextbookAdjoint.subject name organs) id fault

    /// A piece from the organs that work on memory of the caller's.
    let ofMemory id fault organs = make (fun name -> TextbookMemory.subject name organs) id fault

    /// The same, where the organs leave their tensors.
    let ofOverrun id fault organs = make (fun name -> TextbookMemory.subjectWithRoom name organs) id fault

    /// A piece from SAME padding, transposed sizes or checks.
    let ofGeometry id fault organs = make (fun name -> TextbookGeometry.subject name organs) id fault

    /// A piece from a matrix product.
    let ofProduct id fault organs = make (fun name -> TextbookGeometry.product name organs) id fault

    /// A piece from Winograd's algorithm alone, which takes 3×3 kernels without stride and dilation.
    let ofWinograd id fault organs = make (fun name -> TextbookWinograd.subjectOfTiles name organs) id fault

    /// A piece from Winograd's algorithm and the choice of it.
    let ofDispatch id fault organs = make (fun name -> TextbookWinograd.subject name organs) id fault

    /// A piece from patches and a blocked matrix product.
    let ofGemm id fault organs = make (fun name -> TextbookGemm.subject name organs) id fault

    /// A piece from a direct convolution in tiles and vectors.
    let ofTiled id fault organs = make (fun name -> TextbookTiled.subject name organs) id fault

    /// A piece from a wrong formula.
    let ofFormulas id fault (outputSize, multiplyAdds) = make (fun name -> Subject.ofFormulas name outputSize multiplyAdds) id fault
