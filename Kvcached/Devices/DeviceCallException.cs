namespace Kvcached.Devices;

/// <summary>A call of a device's driver has failed with an error that the contract has no word for; the message names both. The device goes on.</summary>
public abstract class DeviceCallException : Exception
{
    private protected DeviceCallException(string message)
        : base(message)
    {
    }
}
