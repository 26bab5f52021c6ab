using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using Kvcached.Kernels;
using Kvcached.Kernels.Gpu;
using Xunit;
using Xunit.Abstractions;

namespace Kvcached.Tests.Kernels;

/// <summary>The header of the table ABI and the argument structs, as compilers of C see them.</summary>
public sealed partial class NativeAbiTests(ITestOutputHelper output) : IDisposable
{
    private const string GoldenProgram =
        """
        #include "kvcached.h"
        #include <stdio.h>
        #include <stdlib.h>

        enum { HEAP = 1 << 20 };

        int main(int count, char **arguments) {
            FILE *file = count == 2 ? fopen(arguments[1], "r") : NULL;
            kv_u32 *heap = (kv_u32 *)calloc(HEAP, sizeof(kv_u32));
            char line[512];
            int vectors = 0;
            while (file && heap && fgets(line, sizeof line, file)) {
                KvShape shape = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
                KvSequenceView view = {0, 0, 0, 0, 0, 0, 0, 0};
                kv_u32 token, layer, plane, head, index, entry;
                kv_u64 offset;
                if (line[0] == '#') {
                    continue;
                }
                if (sscanf(line, "%u %llu %u %u %u %u %u %u %u %u %u %u %llu", &shape.tokens_per_block_shift, &shape.layer_stride, &shape.plane_stride, &shape.head_stride,
                           &shape.token_stride, &view.row_start, &token, &layer, &plane, &head, &index, &entry, &offset) != 13) {
                    return 2;
                }
                if (kv_entry_index(view, shape, token) != index || kv_block_offset(entry) + kv_offset_in_block(shape, token, layer, plane, head) != offset) {
                    return 3;
                }
                if (index < HEAP) {
                    heap[index] = entry;
                    if (kv_offset(heap, view, shape, token, layer, plane, head) != offset) {
                        return 4;
                    }
                }
                vectors++;
            }
            printf("%d", vectors);
            return 0;
        }
        """;

    private readonly string _folder = Directory.CreateTempSubdirectory("kvcached-abi").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("gcc", "c", "-std=c11")]
    [InlineData("gcc", "c++", "-std=c++17")]
    public void The_header_meets_the_golden_vectors(string compiler, string language, string standard)
    {
        if (!OutsideTool.IsThere(compiler, output))
        {
            return;
        }

        Write("kvcached.h");
        File.WriteAllText(Path.Combine(_folder, "golden.c"), GoldenProgram);
        OutsideTool.Run(_folder, compiler, "-x", language, standard, "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Wno-long-long", "-Werror", "-o", "golden", "golden.c");
        var met = OutsideTool.Run(_folder, Path.Combine(_folder, "golden"), Path.Combine(AppContext.BaseDirectory, "golden-vectors.txt"));
        Assert.Equal(TableAbiTests.GoldenVectorCount, int.Parse(met, null));
    }

    [Fact]
    public void The_header_compiles_alone_as_CUDA()
    {
        if (!OutsideTool.IsThere("clang-19", output))
        {
            return;
        }

        Write("kvcached.h");
        File.WriteAllText(Path.Combine(_folder, "alone.cu"), "#include \"kvcached.h\"\n");
        string[] options = ["-x", "cuda", "-nocudainc", "-nocudalib", "--cuda-device-only", "--cuda-gpu-arch=sm_80", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"];
        OutsideTool.Run(_folder, "clang-19", [.. options, "alone.cu"]);
    }

    [Fact]
    public void Structs_in_C_are_those_in_CSharp()
    {
        if (!OutsideTool.IsThere("gcc", output))
        {
            return;
        }

        Write("kvcached.h");
        Write("arguments.h");
        var program = new StringBuilder("#include \"arguments.h\"\n#include <stddef.h>\n");
        Check<SequenceView>(program, "KvSequenceView");
        Check<KvShape>(program, "KvShape");
        Check<PageTable>(program, "KvPageTable");
        Check<KvBatch>(program, "KvBatch");
        Check<KvWriteArguments>(program, "KvWriteArguments");
        Check<AttentionArguments>(program, "KvAttentionArguments");
        Check<CopyArguments>(program, "KvCopyArguments");
        Check<CopyBatchArguments>(program, "KvCopyBatchArguments");
        Check<FillArguments>(program, "KvFillArguments");
        Check<BlockRowsArguments>(program, "KvBlockRowsArguments");
        Check<PageTableArguments>(program, "KvPageTableArguments");
        Check<WindowArguments>(program, "KvWindowArguments");
        Check<TableUpdateArguments>(program, "KvTableUpdateArguments");
        Check<StampedSequence>(program, "KvStampedSequence");
        Check<StampTally>(program, "KvStampTally");
        Check<StampArguments>(program, "KvStampArguments");
        File.WriteAllText(Path.Combine(_folder, "structs.c"), program.ToString());
        OutsideTool.Run(_folder, "gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "structs.c");
    }

    private static void Check<T>(StringBuilder program, string name)
        where T : unmanaged
    {
        program.Append($"_Static_assert(sizeof({name}) == {Unsafe.SizeOf<T>()}, \"{name}\");\n");
        foreach (var field in typeof(T).GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic))
        {
            var inC = WordStart().Replace(field.Name, "_$0").ToLowerInvariant();
            program.Append($"_Static_assert(offsetof({name}, {inC}) == {Marshal.OffsetOf<T>(field.Name)}, \"{name}.{inC}\");\n");
        }
    }

    private void Write(string file)
    {
        using var source = typeof(GpuSource).Assembly.GetManifestResourceStream($"gpu/{file}")!;
        using var target = File.Create(Path.Combine(_folder, file));
        source.CopyTo(target);
    }

    [GeneratedRegex("(?<!^)[A-Z]")]
    private static partial Regex WordStart();
}
