System.Console.WriteLine("kvcached");
