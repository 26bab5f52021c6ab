namespace Kvcached.Kernels;

/// <summary>How the kernels store an element. Kernels compute in float32 whatever they store. Values equal those of <c>KvElementType</c>.</summary>
public enum ElementFormat : uint
{
    /// <summary>IEEE 754 binary16.</summary>
    Float16 = 1,

    /// <summary>bfloat16.</summary>
    BFloat16 = 2,

    /// <summary>IEEE 754 binary32.</summary>
    Float32 = 3,
}
