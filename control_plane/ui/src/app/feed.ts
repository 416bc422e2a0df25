/** Server-sent events with a state one can see: they come, they are paused, or the connection is being made anew. */

import { useEffect, useRef, useState } from "react";
import type { LiveState } from "@/components/LiveBadge";

interface FeedOptions {
  url: string | null;
  /** It listens from now on. What came before that, also while it was away, is not told: read it. */
  onListening: () => void;
  events: Record<string, (data: unknown) => void>;
}

/** Paused feeds are closed: nothing is held for somebody who does not look. */
export function useFeed({ url, onListening, events }: FeedOptions): {
  state: LiveState;
  seenAtMs: number;
  toggle: () => void;
} {
  const [paused, setPaused] = useState(false);
  const [connected, setConnected] = useState(false);
  const [seenAtMs, setSeenAtMs] = useState(0);
  const newest = useRef({ events, onListening });
  newest.current = { events, onListening };
  const names = Object.keys(events).join(" ");
  useEffect(() => {
    if (url === null || paused) return;
    let source: EventSource | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const open = () => {
      source = new EventSource(url);
      source.onopen = () => {
        setConnected(true);
        setSeenAtMs(Date.now());
        newest.current.onListening();
      };
      source.onerror = () => {
        setConnected(false);
        // A browser comes again by itself after a break, but not after an answer that is no stream (the server starts).
        if (source?.readyState === EventSource.CLOSED) timer = setTimeout(open, AGAIN_MS);
      };
      for (const name of names.split(" ")) {
        source.addEventListener(name, (event) => {
          setSeenAtMs(Date.now());
          newest.current.events[name]?.(JSON.parse((event as MessageEvent<string>).data));
        });
      }
    };
    open();
    return () => {
      clearTimeout(timer);
      source?.close();
      setConnected(false);
    };
  }, [url, paused, names]);
  const state = paused ? "paused" : connected ? "live" : seenAtMs === 0 ? "connecting" : "reconnecting";
  return { state, seenAtMs, toggle: () => setPaused((now) => !now) };
}

const AGAIN_MS = 3_000;
