namespace Kvcached.Bench.GpuCheck;

/// <summary>Does kernels and copies in the order in which they come, of device memory by its addresses. One thread at a time.</summary>
internal interface ILaunchStream
{
    void Launch<T>(string name, in T arguments)
        where T : unmanaged;

    void Copy(ulong target, ulong source, long bytes);

    void Clear(ulong target, long bytes);

    /// <summary>Waits until all is done.</summary>
    void Synchronize();
}
