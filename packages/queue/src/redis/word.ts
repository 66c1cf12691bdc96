// A word of a call, as the script reads it.
export type Word = string | number;
