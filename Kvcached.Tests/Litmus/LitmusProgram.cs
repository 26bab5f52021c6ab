using System.CommandLine;
using Kvcached.Tests;
using Kvcached.Tests.Devices;
using Kvcached.Tests.Litmus;

// The tests' assembly is a program too: litmus tests for as long as one likes, suites where there is no SDK, and the second process of tests that take two.
var seconds = new Option<double>("--seconds") { Description = "How long to run.", DefaultValueFactory = _ => 60 };
var soak = new Command("litmus", "Runs the litmus tests on the library's code, over and over; 1 as soon as one does not pass.") { seconds };
soak.SetAction(result => LitmusCatalog.Soak(result.GetValue(seconds)));

var name = new Argument<string>("test");
var process = new Argument<int>("process");
var descriptor = new Argument<int>("descriptor");
var peer = new Command(LitmusPeer.Command) { name, process, descriptor };
peer.Hidden = true;
peer.SetAction(result => LitmusPeer.Run(result.GetValue(name)!, result.GetValue(process), result.GetValue(descriptor)));

var scenario = new Argument<string>("scenario");
var socket = new Argument<string>("socket");
var device = new Argument<string>("device");
var sharing = new Command(SharingPeer.Command) { scenario, socket, device };
sharing.Hidden = true;
sharing.SetAction(result => SharingPeer.Run(result.GetValue(scenario)!, result.GetValue(socket)!, result.GetValue(device)!));

var parse = new RootCommand("Long runs of Kvcached's tests.") { soak, peer, sharing, SuitesCommand.Create() }.Parse(args);
foreach (var error in parse.Errors)
{
    Console.Error.WriteLine(error.Message);
}

// 1 says that something is not as it must be; 2 that the command could not do what was asked.
return parse.Errors.Count > 0 ? 2 : parse.Invoke();
