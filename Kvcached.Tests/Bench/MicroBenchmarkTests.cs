using System.Reflection;
using BenchmarkDotNet.Attributes;
using Kvcached.Bench.Micro;
using Xunit;

namespace Kvcached.Tests.Bench;

public class MicroBenchmarkTests
{
    public static TheoryData<Type> Classes => [.. typeof(MicroCommand).Assembly.GetTypes().Where(type => MethodsOf<BenchmarkAttribute>(type).Any())];

    [Theory]
    [MemberData(nameof(Classes))]
    public void Every_method_of_a_class_runs_and_comes_to_the_same(Type type)
    {
        var benchmark = Activator.CreateInstance(type)!;
        foreach (var property in type.GetProperties())
        {
            if (property.GetCustomAttribute<ParamsAttribute>() is { } parameters)
            {
                property.SetValue(benchmark, parameters.Values[0]);
            }
        }

        Call<GlobalSetupAttribute>();
        try
        {
            var results = MethodsOf<BenchmarkAttribute>(type).ToDictionary(method => method.Name, method => method.Invoke(benchmark, [])!);
            Assert.True(results.Count > 1, $"{type.Name} has nothing beside what won.");
            Assert.All(results, result => Assert.Equal(results.First().Value, result.Value));
            Assert.NotEqual(Activator.CreateInstance(results.First().Value.GetType()), results.First().Value);
        }
        finally
        {
            Call<GlobalCleanupAttribute>();
        }

        void Call<T>()
            where T : Attribute
        {
            foreach (var method in MethodsOf<T>(type))
            {
                method.Invoke(benchmark, []);
            }
        }
    }

    [Theory]
    [InlineData(0, "--filter", "*FrontierMerge*")]
    [InlineData(0, "--list", "flat")]
    [InlineData(2, "--filter", "*NoSuchBenchmark*")]
    public void The_exit_status_says_whether_what_was_chosen_ran(int status, params string[] arguments) =>
        Assert.Equal(status, MicroCommand.Run(arguments, isQuick: true));

    private static IEnumerable<MethodInfo> MethodsOf<T>(Type type)
        where T : Attribute => type.GetMethods().Where(method => method.GetCustomAttribute<T>() is not null);
}
