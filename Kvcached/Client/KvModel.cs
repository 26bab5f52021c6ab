using Kvcached.Engine;
using Kvcached.Kernels;

namespace Kvcached;

/// <summary>A registered model: the shape of its sequences. Thread-safe.</summary>
public sealed class KvModel
{
    /// <summary>Most layouts that a model has.</summary>
    internal const int MaxLayouts = ModelState.MaxLayouts;

    private readonly KvShape[] _shapes;

    internal KvModel(KvCache cache, int number, string name, KvLayout[] layouts, KvShape[] shapes)
    {
        Cache = cache;
        Number = number;
        Name = name;
        Layouts = layouts;
        _shapes = shapes;
    }

    /// <summary>The model's name, in messages.</summary>
    public string Name { get; }

    /// <summary>Its layouts: a sequence has a row, and a step an array of views, for each.</summary>
    public IReadOnlyList<KvLayout> Layouts { get; }

    internal KvCache Cache { get; }

    internal int Number { get; }

    /// <summary>Strides of a layout, to pass to kernels.</summary>
    /// <exception cref="KvException">The model has no such layout.</exception>
    public KvShape Shape(int layout = 0)
    {
        KvCacheOptions.Check(nameof(layout), layout, 0, _shapes.Length - 1, 1);
        return _shapes[layout];
    }

    /// <summary>Strides of a layout's contiguous windows, to pass to contiguous kernels. The same for every window, whatever its size.</summary>
    /// <exception cref="KvException">The model has no such layout.</exception>
    public KvShape WindowShape(int layout = 0) => Kernels.WindowShape.Of(Shape(layout));

    /// <summary>Creates an empty sequence.</summary>
    /// <exception cref="KvException">The cache holds as many sequences as it may, or is closed.</exception>
    public KvSequence CreateSequence() => Cache.CreateSequence(this);
}
