using System.CommandLine;
using Kvcached.Bench.Fragmentation;
using Kvcached.Bench.Fuzz;
using Kvcached.Bench.GpuCheck;
using Kvcached.Bench.Kill;
using Kvcached.Bench.Micro;
using Kvcached.Bench.Processes;
using Kvcached.Bench.Ratios;
using Kvcached.Bench.Simulation;
using Kvcached.Bench.Stress;

var root = new RootCommand("Long commands and benchmarks of Kvcached.")
{
    BlocksProcess.CreateCommand(), ClientCommand.Create(), FutexPeer.CreateCommand(), FragmentationCommand.Create(), FuzzCommand.Create(), GpuCheckCommand.Create(), GpuDecodeCommand.Create(), GpuPeer.CreateCommand(), GpuReport.CreateCommand(), KillCommand.Create(), MicroCommand.Create(), RatiosCommand.Create(), SimulateCommand.Create(), StressCommand.Create(),
};
var parse = root.Parse(args);
foreach (var error in parse.Errors)
{
    Console.Error.WriteLine(error.Message);
}

// 1 says that something is not as it must be; 2 that the command could not do what was asked.
return parse.Errors.Count > 0 ? 2 : parse.Invoke();
