/** A user of a simulated portal. */
export interface SimulatedUser {
  readonly id: number
  admin: boolean
  name: string
  /** `false` for a dismissed user: REST responds `authorization_error`, but the token can still be refreshed. */
  active: boolean
  /** `false` for a user without access to the app: REST responds `user_access_error`. */
  access: boolean
}

/** The user who installs the app by default. */
export const ADMIN = 1
/** The system user of ONAPPUSERREADY. */
export const SYSTEM_USER = 1000

/** Users of a portal, created on first access. */
export class Users {
  readonly #users = new Map<number, SimulatedUser>()

  all (): SimulatedUser[] {
    return [...this.#users.values()]
  }

  /** Returns a user with changes applied. The first user and the system user are admins by default. */
  get (id: number, changes: Partial<Omit<SimulatedUser, 'id'>> = {}): SimulatedUser {
    const user = this.#users.get(id) ?? { id, admin: id === ADMIN || id === SYSTEM_USER, name: `User ${id}`, active: true, access: true }
    this.#users.set(id, Object.assign(user, changes))
    return user
  }
}
