// A restaurant's booking bot: asks for people, time and name, confirms, says goodbye.
import { serve } from "./webhook_server.mjs";

const NUMBER = String.raw`(\d+|one|two|three|four|five|six|seven|eight|nine|ten)`;
const WORDS = String.raw`([\p{L}\p{M}\p{N}_ ]+)`;
const FACTS = {
  people: String.raw`(?:\bfor|party of|table of|we are) ${NUMBER}\b|^${NUMBER}(?: people)?\W*$`,
  when: String.raw`\b((?:today|tonight|tomorrow|\w+day|at \w+)\b[\w :.]*)`,
  name: String.raw`\bname(?:'s| is)? ${WORDS}|\b(?:it's|this is|under) ${WORDS}`,
};
const QUESTIONS = {
  people: "For how many people?",
  when: "When would you like to come?",
  name: "What name may I write down?",
};
const GOODBYE = /bye\b|\bthat(?:'s| is) (?:all|it)\b|\bno,? thank|\bnothing else\b|^no\W*$/iu;

// Keeps nothing: `history` has everything said so far, as it was heard.
function answer({ user_text, history }) {
  if (GOODBYE.test(user_text)) {
    return { say: "Thank you, we look forward to seeing you. Goodbye!", action: "hangup" };
  }
  const said = [...history.filter((e) => e.role === "user").map((e) => e.content), user_text].reverse();
  const known = {};
  for (const [fact, pattern] of Object.entries(FACTS)) {
    const found = said.map((text) => new RegExp(pattern, "iu").exec(text)).find(Boolean);
    if (!found) return { say: QUESTIONS[fact], action: "continue" };
    known[fact] = found.slice(1).find(Boolean).replace(/^[ .]+|[ .]+$/g, "");
  }
  return { say: `A table for ${known.people}, ${known.when}, for ${known.name}. Anything else?`, action: "continue" };
}

serve(answer);
