using System.ComponentModel;
using Conv.Bench.Race;
using Conv.Properties;

namespace Conv.Bench.Peers;

/// <summary>The peers by name, and why one is not here.</summary>
internal static class PeerList
{
    /// <summary>All that there are, in the order of the tables.</summary>
    public static IReadOnlyList<string> Names { get; } = ["onnxruntime", "onednn", "onednn-blocked", "onednn-winograd", "pytorch"];

    /// <summary>What a user gets who asks for nothing in particular: the verdict is against the best of these.</summary>
    public static IReadOnlyList<string> Default { get; } = ["onnxruntime", "onednn", "pytorch"];

    /// <summary>The peer, or null and what to do about it.</summary>
    public static IContender? TryOpen(string name, out string missing)
    {
        missing = "";
        try
        {
            return name switch
            {
                "onnxruntime" => new OnnxRuntimePeer(),
                "onednn" => new OneDnnPeer(OneDnnWay.Plain),
                "onednn-blocked" => new OneDnnPeer(OneDnnWay.Blocked),
                "onednn-winograd" => new OneDnnPeer(OneDnnWay.Winograd),
                "pytorch" => new PyTorchPeer(),
                _ => throw new ArgumentOutOfRangeException(nameof(name), name, "There is no such peer."),
            };
        }
        catch (CannotOpen why)
        {
            missing = $"ONNX Runtime: {why.Data0}";
        }
        catch (DllNotFoundException)
        {
            missing = "oneDNN: its shim is not there, or libdnnl is not: Conv.Bench/Peers/build.sh";
        }
        catch (Exception why) when (why is NotRunException or Win32Exception)
        {
            missing = $"PyTorch: not found: apt-get install python3-torch ({why.Message})";
        }

        return null;
    }
}
