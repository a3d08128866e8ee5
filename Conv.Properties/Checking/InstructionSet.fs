namespace Conv.Properties

open System.Numerics
open System.Runtime.Intrinsics
open System.Runtime.Intrinsics.Arm
open System.Runtime.Intrinsics.X86

/// What the runtime lets a process use of its processor.
type internal Instructions =
    {
        /// Bits of Vector<T>; 0 where it is emulated.
        VectorBits: int
        /// Bits of the widest accelerated vector; 0 where there is none.
        WidestBits: int
        /// Whether multiply-adds are rounded once.
        Fused: bool
    }

    /// As one line, which `InstructionSet.tryParse` reads.
    override i.ToString() = $"vector={i.VectorBits} widest={i.WidestBits} fused={i.Fused}"

/// Code that a process can be made to run on.
type internal InstructionSet =
    {
        /// The name in options and reports.
        Name: string
        Title: string
        /// Variables that the runtime reads when it starts, and their values.
        Switches: (string * string) list
        /// Whether a process that was started with the switches runs what the name says.
        IsMeant: Instructions -> bool
    }

[<CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module internal InstructionSet =
    /// What this process uses.
    let here =
        {
            VectorBits = if Vector.IsHardwareAccelerated then Vector<float32>.Count * 32 else 0
            WidestBits =
                if Vector512.IsHardwareAccelerated then 512
                elif Vector256.IsHardwareAccelerated then 256
                elif Vector128.IsHardwareAccelerated then 128
                else 0
            Fused = Fma.IsSupported || AdvSimd.IsSupported
        }

    let private ofBits name title bits switches =
        {
            Name = name
            Title = title
            Switches = switches
            IsMeant = fun i -> i.VectorBits = bits && i.WidestBits = bits
        }

    /// The sets, the narrowest first. What each switch does was read off processes that were started with it: EnableAVX512F, of older
    /// runtimes, does nothing; without MaxVectorTBitWidth Vector<T> stays at 256 bits where there are 512.
    let all =
        [
            ofBits "scalar" "no vector instructions" 0 [ "EnableHWIntrinsic", "0" ]
            ofBits "128" "vectors of 128 bits; on x64 no fused multiply-add" 128 [ "EnableAVX", "0" ]
            ofBits "256" "vectors of 256 bits" 256 [ "EnableAVX512", "0" ]
            ofBits "512" "vectors of 512 bits, also as Vector<T>" 512 [ "MaxVectorTBitWidth", "512"; "PreferredVectorBitWidth", "512" ]
        ]

    /// What the runtime chooses by itself.
    let host =
        {
            Name = "host"
            Title = "what the runtime chooses by itself"
            Switches = []
            IsMeant = fun _ -> true
        }

    let private prefixes = [ "DOTNET_"; "COMPlus_" ]

    /// Every variable that could already be set and speak against a set's own switches.
    let cleared =
        [
            for prefix in prefixes do
                for set in all do
                    for name, _ in set.Switches -> prefix + name

                for name in [ "EnableAVX2"; "EnableSSE42"; "EnableFMA"; "EnableAVX512v2"; "EnableArm64AdvSimd" ] -> prefix + name
        ]

    /// The set's switches as the runtime reads them.
    let variables set = set.Switches |> List.map (fun (name, value) -> prefixes.Head + name, value)

    /// Reads the line of a process that says what it uses.
    let tryParse (line: string) =
        let number (field: string) name =
            if field.StartsWith(name + "=", System.StringComparison.Ordinal) then
                match System.Int32.TryParse(field.Substring(name.Length + 1)) with
                | true, value -> Some value
                | _ -> None
            else
                None

        match line.Trim().Split ' ' with
        | [| vector; widest; fused |] ->
            match number vector "vector", number widest "widest" with
            | Some vector, Some widest when fused.StartsWith("fused=", System.StringComparison.Ordinal) ->
                Some { VectorBits = vector; WidestBits = widest; Fused = (fused = "fused=True") }
            | _ -> None
        | _ -> None
