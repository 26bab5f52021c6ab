using Kvcached.Kernels;

namespace Kvcached.Daemon.Demo;

/// <summary>What a forward pass needs to know about its step; all of it is on the device, and read when the kernels run.</summary>
/// <param name="Kv">Views of the step, and where the keys and values lie. Its layer is filled in for each layer.</param>
/// <param name="Requests">Address of int[Kv.Batch]: the request of each view.</param>
/// <param name="Rows">Tokens of the step.</param>
/// <param name="IsPrefill">Whether views may have several new tokens; otherwise each has one.</param>
internal readonly record struct StepInput(KvBatch Kv, ulong Requests, int Rows, bool IsPrefill);
