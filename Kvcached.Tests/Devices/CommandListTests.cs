using Kvcached.Devices;
using Kvcached.Tests.Engine;
using Xunit;

namespace Kvcached.Tests.Devices;

public sealed class CommandListTests : IDisposable
{
    private readonly PlainMemory _pool = new("pool", 4096);
    private readonly PlainMemory _cold = new("cold", 4096, MemoryKind.Host);
    private readonly CommandList _commands = new();

    [Fact]
    public void Copies_that_go_on_at_both_ends_are_one_command()
    {
        Copy(_cold, 1024, _pool, 0);
        Copy(_cold, 1280, _pool, 256);
        Copy(_cold, 1536, _pool, 512);

        var command = Assert.Single(_commands.Commands.ToArray());
        Assert.Equal((1024L, 0L, 768L), (command.TargetOffset, command.SourceOffset, command.Bytes));
    }

    [Theory]
    [InlineData(1280, 512)]
    [InlineData(1536, 256)]
    [InlineData(768, 256)]
    [InlineData(1024, 0)]
    public void Copies_that_do_not_are_two(long target, long source)
    {
        Copy(_cold, 1024, _pool, 0);
        Copy(_cold, target, _pool, source);
        Assert.Equal(2, _commands.Commands.Length);
    }

    [Fact]
    public void Nor_are_those_of_other_memory_or_with_a_command_between()
    {
        Copy(_cold, 0, _pool, 0);
        Copy(_pool, 256, _pool, 1024);
        _commands.Fill(_cold, 1024, 256, 1);
        Copy(_pool, 512, _pool, 1280);
        Copy(_pool, 768, _cold, 1536);
        Assert.Equal(5, _commands.Commands.Length);
    }

    /// <summary>One command reads all that it copies, in any order: what the first copy wrote the second would not see.</summary>
    [Theory]
    [InlineData(256, 0)]
    [InlineData(0, 256)]
    public void Copies_whose_ranges_would_overlap_as_one_stay_two(long target, long source)
    {
        Copy(_pool, target, _pool, source);
        Copy(_pool, target + 256, _pool, source + 256);
        Assert.Equal(2, _commands.Commands.Length);
    }

    [Fact]
    public void Ranges_that_touch_do_not_overlap()
    {
        Copy(_pool, 512, _pool, 0);
        Copy(_pool, 768, _pool, 256);
        Assert.Equal(512, Assert.Single(_commands.Commands.ToArray()).Bytes);
    }

    public void Dispose()
    {
        _pool.Dispose();
        _cold.Dispose();
    }

    private void Copy(DeviceMemory target, long targetOffset, DeviceMemory source, long sourceOffset) => _commands.Copy(target, targetOffset, source, sourceOffset, 256);
}
