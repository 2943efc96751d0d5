// Runs in the first member each time that it starts (postStart): makes the replica set and its two users, once.
// As long as there is no user, whoever comes from localhost may do both.
const wanted = Number(process.env.MEMBERS);
const name = (number) => `mongodb-${number}.mongodb:27017`;

function main() {
  if (!process.env.HOSTNAME.endsWith("-0")) return;
  const admin = reached().getSiblingDB("admin");
  if (!admin.hello().setName) initiate(admin);
  until("a primary", () => admin.hello().primary);
  if (admin.hello().isWritablePrimary) makeUsers(admin);
}

function until(what, holds) {
  for (;;) {
    try {
      const found = holds();
      if (found) return found;
    } catch (error) {
      print(`waiting for ${what}: ${error.message}`);
    }
    sleep(1000);
  }
}

function reached() {
  return until("mongod", () => connect("mongodb://127.0.0.1:27017/admin?directConnection=true"));
}

function initiate(admin) {
  // It asks all members, which may not be there yet.
  const members = [...Array(wanted).keys()].map((_id) => ({ _id, host: name(_id) }));
  until("the other members", () => admin.runCommand({ replSetInitiate: { _id: "callbot", members } }).ok);
}

function makeUsers(admin) {
  try {
    admin.createUser({ user: "root", pwd: process.env.ROOT_PASSWORD, roles: ["root"] });
  } catch (error) {
    // There is a user: nobody may make one without a password any more.
    if (!["Unauthorized", "NotAuthorized"].includes(error.codeName)) throw error;
  }
  admin.auth("root", process.env.ROOT_PASSWORD);
  if (!admin.getUser("callbot")) {
    admin.createUser({
      user: "callbot",
      pwd: process.env.CALLBOT_PASSWORD,
      roles: [{ role: "readWrite", db: "callbot" }],
    });
  }
}

main();
