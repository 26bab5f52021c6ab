namespace Kvcached.Kernels;

/// <summary>
/// A kernel for devices whose memory the host can address: a named pair of static functions over a blittable argument blob. The launch
/// reads <see cref="Items"/> once, when every wait of its submission has been reached, and then calls <see cref="Run"/> for each item,
/// in any order and from several workers at a time. All items have returned before the next command of the queue starts.
/// </summary>
public readonly unsafe struct CpuKernel
{
    /// <summary>Names the kernel and its functions.</summary>
    /// <param name="name">Name by which <c>IDevice.LoadKernel</c> finds it.</param>
    /// <param name="items">From the arguments to the number of independent items; 0 means nothing to do. Runs at execution time, and may read device memory.</param>
    /// <param name="run">Arguments, item, and the worker that runs it: 0 ≤ worker &lt; the device's workers, unique among the items of this launch that run at a time (an index for the launch's scratch memory; two launches may use one number at once).</param>
    public CpuKernel(string name, delegate*<void*, int> items, delegate*<void*, int, int, void> run)
    {
        Name = name;
        Items = items;
        Run = run;
    }

    /// <summary>Name by which the kernel is loaded.</summary>
    public string Name { get; }

    /// <summary>Number of items of a launch.</summary>
    public delegate*<void*, int> Items { get; }

    /// <summary>Runs one item: (arguments, item, worker).</summary>
    public delegate*<void*, int, int, void> Run { get; }
}
