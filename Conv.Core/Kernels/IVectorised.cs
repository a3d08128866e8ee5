namespace Conv;

/// <summary>An implementation whose kernels there are for every width of vector: the suite holds each of them to the laws, on any processor.</summary>
internal interface IVectorised : IConvolution
{
    /// <summary>The same implementation with the kernels of one width.</summary>
    IConvolution On(Simd simd);
}
