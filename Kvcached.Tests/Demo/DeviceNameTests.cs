using Kvcached.Daemon.Hardware;
using Kvcached.Devices;
using Xunit;

namespace Kvcached.Tests.Demo;

public class DeviceNameTests
{
    [Theory]
    [InlineData("cpu")]
    [InlineData("opencl")]
    [InlineData("opencl:3")]
    [InlineData("cuda")]
    [InlineData("cuda:0")]
    [InlineData("auto")]
    public void A_name_is_read_and_written_alike(string name) => Assert.Equal(name, DeviceName.Parse(name)?.ToString());

    [Theory]
    [InlineData("")]
    [InlineData("tpu")]
    [InlineData("CPU")]
    [InlineData("cpu:0")]
    [InlineData("auto:1")]
    [InlineData("cuda:")]
    [InlineData("cuda:-1")]
    [InlineData("opencl:x")]
    public void What_is_no_name_is_none(string name) => Assert.Null(DeviceName.Parse(name));

    [Theory]
    [InlineData("opencl:4096")]
    [InlineData("cuda:4096")]
    public void A_number_that_there_is_not_is_a_typed_error_that_says_where_to_look(string name) =>
        Assert.Contains("'kvcached devices'", Assert.Throws<DeviceUnavailableException>(() => DeviceName.Parse(name)!.Value.Resolve()).Message, StringComparison.Ordinal);

    [Fact]
    public void The_list_has_the_cpu_and_says_of_every_other_device_what_it_is_or_why_not()
    {
        var devices = DeviceList.Find();
        Assert.Equal(("cpu", null), (devices[0].Name, devices[0].Unusable));
        Assert.Contains(devices, device => device.Name.StartsWith("opencl", StringComparison.Ordinal));
        Assert.Contains(devices, device => device.Name.StartsWith("cuda", StringComparison.Ordinal));
        Assert.All(devices, device => Assert.False(string.IsNullOrWhiteSpace(device.Unusable ?? device.Description)));
    }

    [Fact]
    public void Auto_is_a_device_that_can_be_used() => Assert.Contains(DeviceList.Find(), device => device.Name == DeviceName.Parse("auto")!.Value.Resolve().ToString() && device.Unusable is null);
}
