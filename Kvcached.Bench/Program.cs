using System.CommandLine;
using Kvcached.Bench.Simulation;

var root = new RootCommand("Long commands and benchmarks of Kvcached.") { SimulateCommand.Create() };
return root.Parse(args).Invoke();
