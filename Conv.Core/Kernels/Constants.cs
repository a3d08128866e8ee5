using System.Runtime.InteropServices;

namespace Conv;

/// <summary>A number as a constant of the compiler: what it rules out is not compiled.</summary>
internal interface IConstant
{
    static abstract int Value { get; }
}

/// <summary>The constants that kernels are made for.</summary>
/// <remarks>From one on they are as many bytes as they say. Sizes are known when a method is read, values only when it is inlined: where much is
/// ruled out, a kernel asks for the size, since the compiler gives up on a method that has become too large meanwhile.</remarks>
internal static class Constants
{
    public readonly struct Zero : IConstant { public static int Value => 0; }

    [StructLayout(LayoutKind.Sequential, Size = 1)]
    public readonly struct One : IConstant { public static int Value => 1; }

    [StructLayout(LayoutKind.Sequential, Size = 2)]
    public readonly struct Two : IConstant { public static int Value => 2; }

    [StructLayout(LayoutKind.Sequential, Size = 3)]
    public readonly struct Three : IConstant { public static int Value => 3; }

    [StructLayout(LayoutKind.Sequential, Size = 4)]
    public readonly struct Four : IConstant { public static int Value => 4; }

    [StructLayout(LayoutKind.Sequential, Size = 5)]
    public readonly struct Five : IConstant { public static int Value => 5; }

    [StructLayout(LayoutKind.Sequential, Size = 6)]
    public readonly struct Six : IConstant { public static int Value => 6; }

    [StructLayout(LayoutKind.Sequential, Size = 7)]
    public readonly struct Seven : IConstant { public static int Value => 7; }

    [StructLayout(LayoutKind.Sequential, Size = 8)]
    public readonly struct Eight : IConstant { public static int Value => 8; }

    [StructLayout(LayoutKind.Sequential, Size = 9)]
    public readonly struct Nine : IConstant { public static int Value => 9; }

    [StructLayout(LayoutKind.Sequential, Size = 10)]
    public readonly struct Ten : IConstant { public static int Value => 10; }

    [StructLayout(LayoutKind.Sequential, Size = 11)]
    public readonly struct Eleven : IConstant { public static int Value => 11; }

    [StructLayout(LayoutKind.Sequential, Size = 12)]
    public readonly struct Twelve : IConstant { public static int Value => 12; }
}
