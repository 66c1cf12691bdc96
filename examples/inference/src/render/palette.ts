// Colours that go together, chosen by the words of a prompt.

/** Red, green and blue, each 0 to 1. */
export type Colour = readonly [red: number, green: number, blue: number];

/** A landscape's colours. */
export interface Palette {
  readonly zenith: Colour;
  readonly horizon: Colour;
  readonly light: Colour;
  /** Nearest ridge; farther ones fade into the horizon. */
  readonly ground: Colour;
  /** Whether stars show. */
  readonly dark: boolean;
}

const PALETTES: readonly { readonly words: readonly string[]; readonly palette: Palette }[] = [
  {
    words: ["sunset", "dusk", "evening", "fire", "autumn", "red", "orange"],
    palette: palette("#2b1b4d", "#ff9a56", "#fff0c9", "#1c0f26"),
  },
  {
    words: ["night", "moon", "stars", "space", "galaxy", "midnight", "dark"],
    palette: { ...palette("#05071a", "#27346b", "#eef2ff", "#03040d"), dark: true },
  },
  {
    words: ["dawn", "morning", "spring", "pink", "rose", "dream"],
    palette: palette("#6d8fd6", "#ffd1c8", "#fff6e8", "#3b3156"),
  },
  {
    words: ["forest", "green", "jungle", "summer", "meadow"],
    palette: palette("#4f9fb8", "#e8f3c4", "#fffbe0", "#0f2a1d"),
  },
  {
    words: ["winter", "ice", "snow", "cold", "arctic", "blue"],
    palette: palette("#3f6fa8", "#e6f1f8", "#ffffff", "#20364f"),
  },
  {
    words: ["desert", "gold", "golden", "sand", "dune", "yellow"],
    palette: palette("#5b7fa6", "#ffe0a3", "#fff7dc", "#5a2f16"),
  },
  {
    words: ["aurora", "neon", "alien", "magic", "purple", "violet"],
    palette: { ...palette("#0b1035", "#3fd0b0", "#e9c8ff", "#0a0620"), dark: true },
  },
];

/** The palette a prompt's words ask for, or one drawn by `pick` (0 to 1). */
export function paletteFor(words: ReadonlySet<string>, pick: number): Palette {
  const asked = PALETTES.find((entry) => entry.words.some((word) => words.has(word)));
  return (asked ?? PALETTES[Math.floor(pick * PALETTES.length)]!).palette;
}

export function blend(from: Colour, to: Colour, share: number): Colour {
  return [
    from[0] + (to[0] - from[0]) * share,
    from[1] + (to[1] - from[1]) * share,
    from[2] + (to[2] - from[2]) * share,
  ];
}

function palette(zenith: string, horizon: string, light: string, ground: string): Palette {
  return { zenith: hex(zenith), horizon: hex(horizon), light: hex(light), ground: hex(ground), dark: false };
}

function hex(text: string): Colour {
  const channel = (at: number): number => Number.parseInt(text.slice(at, at + 2), 16) / 255;
  return [channel(1), channel(3), channel(5)];
}
