using Xunit;

namespace Kvcached.Tests;

public class SmokeTests
{
    [Fact]
    public void Smoke() => Assert.Equal(32, 32);
}
