namespace Conv;

/// <summary>Work in phases, each of numbered parts that do not depend on each other.</summary>
internal unsafe interface IParts
{
    /// <summary>How many parts a phase has.</summary>
    int PartsOf(int phase);

    /// <summary>Does one part.</summary>
    /// <param name="phase">The phase; one begins when all parts of the one before are done.</param>
    /// <param name="part">Its number in the phase.</param>
    /// <param name="member">Which member of the team does it, from 0: what is its own, scratch memory say, is found by this.</param>
    /// <param name="call">What the caller handed over.</param>
    void Do(int phase, int part, int member, void* call);
}

/// <summary>
/// The threads of this process that convolutions share: one fewer than there are processors, since the caller works too. Parts are
/// taken as they become free, by the caller from the front and by the others from the back.
/// </summary>
/// <remarks>
/// <para>A thread that loses its processor to another process in the middle of a part holds up the caller, who sleeps after a while: then
/// its own processor can be given to the one that it waits for.</para>
/// <para>A call that finds the team at work for another does its parts alone. Nothing is allocated by a call.</para>
/// </remarks>
internal static unsafe class ThreadTeam
{
    // The others look for more work a few microseconds before they sleep, and all the while between the phases of a call.
    private const int Looks = 50;

    // How long the caller looks whether the others are done before it gives its processor to whoever can use it.
    private const int LooksForDone = 800;

    private static readonly Lock s_start = new();
    private static readonly object s_done = new();
    private static Member[]? s_members;
    private static int s_taken;

    // Of the call at work.
    private static IParts? s_work;
    private static void* s_call;
    private static int s_phase;
    private static long s_left; // first part left below, end above
    private static int s_open; // members that may join
    private static int s_inside; // members at work
    private static bool s_waiting; // the caller sleeps until they are done

    /// <summary>The most members that can be at work: all processors.</summary>
    public static int Size { get; } = Environment.ProcessorCount;

    /// <summary>Does all parts of all phases, on at most so many threads, and returns when the last one is done.</summary>
    /// <param name="work">What the parts are.</param>
    /// <param name="phases">How many phases there are.</param>
    /// <param name="threads">The caller and others: members 0 to threads − 1.</param>
    /// <param name="call">Handed to each part.</param>
    public static void Do(IParts work, int phases, int threads, void* call)
    {
        int helpers = Math.Min(threads, Size) - 1;
        if (helpers <= 0 || (phases == 1 && work.PartsOf(0) == 1) || Interlocked.CompareExchange(ref s_taken, 1, 0) != 0)
        {
            for (int phase = 0; phase < phases; phase++)
            {
                int parts = work.PartsOf(phase);
                for (int part = 0; part < parts; part++)
                {
                    work.Do(phase, part, 0, call);
                }
            }

            return;
        }

        try
        {
            s_work = work;
            s_call = call;
            for (int phase = 0; phase < phases; phase++)
            {
                Together(work, phase, helpers, call);
            }
        }
        finally
        {
            s_work = null;
            Volatile.Write(ref s_taken, 0);
        }
    }

    private static void Together(IParts work, int phase, int helpers, void* call)
    {
        Member[] members = s_members ?? Start();
        int parts = work.PartsOf(phase);
        helpers = Math.Min(helpers, parts - 1);
        s_phase = phase;
        Volatile.Write(ref s_left, (long)parts << 32);
        if (helpers > 0)
        {
            Interlocked.Exchange(ref s_open, helpers);
            for (int member = 0; member < helpers; member++)
            {
                members[member].Wake();
            }
        }

        try
        {
            while (Take(front: true, out int part))
            {
                work.Do(phase, part, 0, call);
            }
        }
        finally
        {
            // Whoever has not joined by now finds the door shut; whoever has is waited for, and takes no further part.
            Interlocked.Exchange(ref s_open, 0);
            Volatile.Write(ref s_left, 0);
            WaitForOthers();
        }
    }

    private static void WaitForOthers()
    {
        for (int look = 0; Volatile.Read(ref s_inside) != 0; look++)
        {
            if (look < LooksForDone)
            {
                Thread.SpinWait(8);
                continue;
            }

            // A sleeping caller leaves its processor to the one that it waits for.
            lock (s_done)
            {
                s_waiting = true;
                Interlocked.MemoryBarrier();
                while (Volatile.Read(ref s_inside) != 0)
                {
                    _ = Monitor.Wait(s_done);
                }

                s_waiting = false;
            }
        }
    }

    private static bool Take(bool front, out int part)
    {
        while (true)
        {
            long left = Volatile.Read(ref s_left);
            int first = (int)left, end = (int)(left >> 32);
            if (first >= end)
            {
                part = 0;
                return false;
            }

            part = front ? first : end - 1;
            long then = front ? left + 1 : left - (1L << 32);
            if (Interlocked.CompareExchange(ref s_left, then, left) == left)
            {
                return true;
            }
        }
    }

    private static Member[] Start()
    {
        lock (s_start)
        {
            if (s_members is null)
            {
                Member[] members = [.. Enumerable.Range(1, Size - 1).Select(number => new Member(number))];
                Volatile.Write(ref s_members, members);
            }

            return s_members;
        }
    }

    // A member takes a place among those that may join, and its number there, or 0. It counts itself as inside first, so that the caller
    // cannot miss it.
    private static int Join()
    {
        _ = Interlocked.Increment(ref s_inside);
        while (true)
        {
            int open = Volatile.Read(ref s_open);
            if (open == 0)
            {
                Leave();
                return 0;
            }

            if (Interlocked.CompareExchange(ref s_open, open - 1, open) == open)
            {
                return open;
            }
        }
    }

    private static void Leave()
    {
        if (Interlocked.Decrement(ref s_inside) == 0 && s_waiting)
        {
            lock (s_done)
            {
                Monitor.Pulse(s_done);
            }
        }
    }

    private sealed class Member
    {
        private readonly object _bell = new();
        private bool _asleep;

        public Member(int number) => new Thread(Live) { IsBackground = true, Name = $"Conv {number}" }.Start();

        public void Wake()
        {
            if (Volatile.Read(ref _asleep))
            {
                lock (_bell)
                {
                    Monitor.Pulse(_bell);
                }
            }
        }

        private void Live()
        {
            while (true)
            {
                for (int look = 0; Volatile.Read(ref s_open) == 0 && (look < Looks || Volatile.Read(ref s_taken) != 0); look++)
                {
                    Thread.SpinWait(8);
                }

                if (Volatile.Read(ref s_open) == 0)
                {
                    Sleep();
                }

                int number = Join();
                if (number != 0)
                {
                    IParts work = s_work!;
                    void* call = s_call;
                    int phase = s_phase;
                    while (Take(front: false, out int part))
                    {
                        work.Do(phase, part, number, call);
                    }

                    Leave();
                }
            }
        }

        private void Sleep()
        {
            lock (_bell)
            {
                Volatile.Write(ref _asleep, true);
                Interlocked.MemoryBarrier();
                while (Volatile.Read(ref s_open) == 0)
                {
                    _ = Monitor.Wait(_bell);
                }

                _asleep = false;
            }
        }
    }
}
